//! The functions that make awaitables, and how their arguments are taken.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use super::{Awaitable, AwaitableView, Phase, Resumed, Step, Wait};
use crate::interop::cell::{GilCell, GilFlag, GilSlot};
use crate::interop::instance::new_instance_of;
use crate::interop::native_function::{Callable, new_native_function};

/// What a native coroutine function does.
pub struct Operation {
    /// `__qualname__` of its coroutines: what "was never awaited" and `repr` name.
    pub name: &'static str,
    pub parameters: Parameters,
    /// Called when it is started, when its wait is over, and when an error is raised where it waits.
    pub resume: for<'py> fn(AwaitableView<'_, 'py>, Resumed<'py>) -> PyResult<Step<'py>>,
}

/// A native method that awaits nothing, with all that can be asked of the one of asyncio's that it replaces.
pub struct Method {
    pub parameters: Parameters,
    pub call: for<'py> fn(Call<'_, 'py>) -> PyResult<Bound<'py, PyAny>>,
}

/// A call of a [`Method`] that its parameters accept.
#[derive(Clone, Copy)]
pub struct Call<'a, 'py> {
    pub owner: &'a Bound<'py, PyAny>,
    pub arguments: &'a [Bound<'py, PyAny>],
}

/// The parameters behind `self`, three at most. They become [`Awaitable::first`], `second` and `third`.
pub struct Parameters {
    pub is_method: bool,
    pub names: &'static [&'static str],
    /// How many must be given.
    pub required: usize,
    /// How many may be given by position.
    pub positional: usize,
}

impl Parameters {
    /// `self` alone.
    pub const NONE: Self = Self { is_method: true, names: &[], required: 0, positional: 0 };
}

/// The function that makes coroutines of `operation`; `template` is asyncio's own, `module` where users find it.
pub fn coroutine_function<'py>(
    template: &Bound<'py, PyAny>,
    module: &str,
    operation: &'static Operation,
) -> PyResult<Bound<'py, PyAny>> {
    remember_template(operation, template);
    new_native_function(template, module, operation)
}

/// Notes which of asyncio's functions `operation` replaces, for those who inspect its coroutines.
pub fn remember_template(operation: &'static Operation, template: &Bound<'_, PyAny>) {
    TEMPLATES.borrow(template.py()).push((operation, template.clone().unbind()));
}

/// The template of each operation: few, and looked up by whoever inspects a coroutine.
static TEMPLATES: GilCell<Vec<(&'static Operation, Py<PyAny>)>> = GilCell::new(Vec::new());

/// `cr_code`: that of the function of asyncio's that the operation replaces.
pub(super) fn code_of<'py>(
    py: Python<'py>,
    operation: &'static Operation,
) -> PyResult<Bound<'py, PyAny>> {
    let template = TEMPLATES
        .borrow(py)
        .iter()
        .find(|(known, _)| std::ptr::eq(*known, operation))
        .map(|(_, template)| template.bind(py).clone());
    match template {
        Some(template) => template.getattr("__code__"),
        None => Ok(py.None().into_bound(py)),
    }
}

/// The function for `method`; `template` and `module` as of [`coroutine_function`].
pub fn method_function<'py>(
    template: &Bound<'py, PyAny>,
    module: &str,
    method: &'static Method,
) -> PyResult<Bound<'py, PyAny>> {
    new_native_function(template, module, method)
}

impl Callable for Method {
    fn call<'py>(
        &'static self,
        template: &Bound<'py, PyAny>,
        args: &[Bound<'py, PyAny>],
        keywords: Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let (Some((owner, arguments)), None) = (args.split_first(), keywords)
            && self.parameters.accept(arguments.len())
        {
            return (self.call)(Call { owner, arguments });
        }
        match self.parameters.bind(args, keywords)? {
            Some(Bindings { owner: Some(owner), rest }) => {
                let arguments: Vec<_> = rest.into_iter().flatten().collect();
                (self.call)(Call { owner: &owner, arguments: &arguments })
            }
            _ => call_template(template, args, keywords),
        }
    }
}

impl Callable for Operation {
    fn call<'py>(
        &'static self,
        template: &Bound<'py, PyAny>,
        args: &[Bound<'py, PyAny>],
        keywords: Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = template.py();
        if keywords.is_none()
            && self.parameters.is_method
            && let Some((owner, rest)) = args.split_first()
            && self.parameters.accept(rest.len())
        {
            let argument = |index: usize| rest.get(index).cloned();
            let arguments = [argument(0), argument(1), argument(2)];
            return new_awaitable(py, self, Some(owner.clone()), arguments);
        }
        match self.parameters.bind(args, keywords)? {
            Some(bindings) => new_awaitable(py, self, bindings.owner, bindings.rest),
            None => call_template(template, args, keywords),
        }
    }
}

/// The instance, if it is a method, and the three arguments.
struct Bindings<'py> {
    owner: Option<Bound<'py, PyAny>>,
    rest: [Option<Bound<'py, PyAny>>; 3],
}

impl Parameters {
    /// Whether this many behind `self`, all by position, are a good call.
    fn accept(&self, count: usize) -> bool {
        self.required <= count && count <= self.positional
    }

    /// `None` when the call is wrong, so that asyncio's own function refuses it in its own words.
    fn bind<'py>(
        &self,
        args: &[Bound<'py, PyAny>],
        keywords: Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<Option<Bindings<'py>>> {
        let named = keywords.map_or(0, PyTupleMethods::len);
        let (by_position, by_name) = args.split_at(args.len() - named);
        let (owner, by_position) = match by_position.split_first() {
            Some((owner, rest)) if self.is_method => (Some(owner.clone()), rest),
            None if self.is_method => return Ok(None),
            _ => (None, by_position),
        };
        if by_position.len() > self.positional {
            return Ok(None);
        }
        let mut rest = [const { None }; 3];
        for (place, value) in rest.iter_mut().zip(by_position) {
            *place = Some(value.clone());
        }
        for (name, value) in keywords.into_iter().flat_map(PyTupleMethods::iter).zip(by_name) {
            let name = name.cast_into::<PyString>()?;
            let name = name.to_str()?;
            match self.names.iter().position(|known| *known == name) {
                Some(index) if rest[index].is_none() => rest[index] = Some(value.clone()),
                _ => return Ok(None),
            }
        }
        if rest[..self.required].iter().any(Option::is_none) {
            return Ok(None);
        }
        Ok(Some(Bindings { owner, rest }))
    }
}

/// A function of asyncio's that is not `async def`, in Rust.
#[expect(
    clippy::type_complexity,
    reason = "the signature of Callable::call, as a function pointer"
)]
pub struct PlainFunction(
    /// Takes the template, the arguments, and the names of the last of them.
    pub  for<'py> fn(
        &Bound<'py, PyAny>,
        &[Bound<'py, PyAny>],
        Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<Bound<'py, PyAny>>,
);

impl Callable for PlainFunction {
    fn call<'py>(
        &'static self,
        template: &Bound<'py, PyAny>,
        args: &[Bound<'py, PyAny>],
        keywords: Option<&Bound<'py, PyTuple>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        (self.0)(template, args, keywords)
    }
}

/// The function `function`; `template` is asyncio's own, `module` where users find it.
pub fn plain_function<'py>(
    template: &Bound<'py, PyAny>,
    module: &str,
    function: &'static PlainFunction,
) -> PyResult<Bound<'py, PyAny>> {
    new_native_function(template, module, function)
}

/// `template(*args)`, for calls that are not the usual ones.
pub fn call_template<'py>(
    template: &Bound<'py, PyAny>,
    args: &[Bound<'py, PyAny>],
    keywords: Option<&Bound<'py, PyTuple>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = template.py();
    let named = keywords.map_or(0, PyTupleMethods::len);
    let (by_position, by_name) = args.split_at(args.len() - named);
    let kwargs = PyDict::new(py);
    for (name, value) in keywords.into_iter().flat_map(PyTupleMethods::iter).zip(by_name) {
        kwargs.set_item(name, value)?;
    }
    template.call(PyTuple::new(py, by_position)?, Some(&kwargs))
}

/// A new awaitable of `operation` with these arguments.
pub fn new_awaitable<'py>(
    py: Python<'py>,
    operation: &'static Operation,
    owner: Option<Bound<'py, PyAny>>,
    arguments: [Option<Bound<'py, PyAny>>; 3],
) -> PyResult<Bound<'py, PyAny>> {
    let slot = |object: Option<Bound<'py, PyAny>>| GilSlot::new(object.map(Bound::unbind));
    let [first, second, third] = arguments;
    new_instance_of(
        py,
        Awaitable {
            operation,
            phase: GilFlag::new(Phase::Created),
            wait: GilFlag::new(Wait::Idle),
            was_woken: GilFlag::new(false),
            has_parked: GilFlag::new(false),
            blocking: GilFlag::new(false),
            number: GilFlag::new(0),
            owner: slot(owner),
            first: slot(first),
            second: slot(second),
            third: slot(third),
            inner: GilSlot::new(None),
            task: GilSlot::new(None),
            callbacks: GilSlot::new(None),
            cancel_message: GilSlot::new(None),
        },
    )
}
