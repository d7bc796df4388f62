# The loop's native half (`_oxio.Loop`) is left out: its methods are asyncio's, and asyncio's types say it all.
import asyncio

class EventLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None: ...

def new_event_loop() -> EventLoop: ...
