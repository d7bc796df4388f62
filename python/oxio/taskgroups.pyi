# asyncio.taskgroups' types, with what newer versions have.
import asyncio

__all__ = ("TaskGroup",)

class TaskGroup(asyncio.TaskGroup):
    def cancel(self) -> None: ...
