# oxio.futures has asyncio.futures' types: see __init__.pyi.
from asyncio.futures import *
