//! asyncio's own functions, for what is not native.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

pub struct Stock {
    pub ensure_future: Py<PyAny>,
    pub isfuture: Py<PyAny>,
    pub wait_for: Py<PyAny>,
}

/// Called once while the module is imported: afterwards `install()` may have put ours in their place.
pub fn stock(py: Python<'_>) -> PyResult<&'static Stock> {
    static STOCK: PyOnceLock<Stock> = PyOnceLock::new();
    STOCK.get_or_try_init(py, || {
        let tasks = py.import("asyncio.tasks")?;
        Ok(Stock {
            ensure_future: tasks.getattr("ensure_future")?.unbind(),
            wait_for: tasks.getattr("wait_for")?.unbind(),
            isfuture: py.import("asyncio.futures")?.getattr("isfuture")?.unbind(),
        })
    })
}
