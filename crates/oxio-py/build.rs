//! Makes `cfg(Py_3_12)` and friends known: the layouts in `interop/layout/` differ per CPython version.
fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}
