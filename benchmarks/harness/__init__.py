"""Measures workloads of the suite, one process per contestant. driver.py is the way in."""
