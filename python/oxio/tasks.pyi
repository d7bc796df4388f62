# oxio.tasks has asyncio.tasks' types: see __init__.pyi.
from asyncio.tasks import *
