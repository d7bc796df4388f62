//! asyncio's own functions, for what is not native.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

pub struct Stock {
    pub gather: Py<PyAny>,
    pub ensure_future: Py<PyAny>,
    pub create_task: Py<PyAny>,
    pub isfuture: Py<PyAny>,
}

/// Called once while the module is imported: afterwards `install()` may have put ours in their place.
pub fn stock(py: Python<'_>) -> PyResult<&'static Stock> {
    static STOCK: PyOnceLock<Stock> = PyOnceLock::new();
    STOCK.get_or_try_init(py, || {
        let tasks = py.import("asyncio.tasks")?;
        Ok(Stock {
            gather: tasks.getattr("gather")?.unbind(),
            ensure_future: tasks.getattr("ensure_future")?.unbind(),
            create_task: tasks.getattr("create_task")?.unbind(),
            isfuture: py.import("asyncio.futures")?.getattr("isfuture")?.unbind(),
        })
    })
}
