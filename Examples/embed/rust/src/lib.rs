//! Millrace in Rust: workflows whose handlers are closures, by libmillrace.so.

mod sys;

use std::borrow::Cow;
use std::ffi::{c_void, CStr, CString};
use std::fmt;
use std::mem::{size_of, zeroed};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::null;
use std::sync::Mutex;
use std::time::Duration;

/// What a call of the library refused.
#[derive(Debug)]
pub struct Error {
    /// As "MILLRACE_FULL".
    pub code: String,
    pub message: String,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

fn call(body: impl FnOnce(*mut sys::Error) -> i32) -> Result<(), Error> {
    let mut error = sys::Error { size: size_of::<sys::Error>() as u32, code: 0, message: [0; 4096] };
    let code = body(&mut error);
    if code == sys::OK {
        return Ok(());
    }
    let length = error.message.iter().position(|byte| *byte == 0).unwrap_or(0);
    // SAFETY: the library's own, for ever.
    let name = unsafe { CStr::from_ptr(sys::millrace_code_name(code)) };
    Err(Error { code: name.to_string_lossy().into(), message: String::from_utf8_lossy(&error.message[..length]).into() })
}

/// Bytes that the library makes, copied and given back.
fn taken(body: impl FnOnce(*mut sys::Bytes, *mut sys::Error) -> i32) -> Result<Vec<u8>, Error> {
    let mut bytes = sys::Bytes { size: size_of::<sys::Bytes>() as u32, content_type: 0, data: std::ptr::null_mut(), length: 0 };
    call(|error| body(&mut bytes, error))?;
    // SAFETY: so many bytes, until they are given back.
    unsafe {
        let copy = std::slice::from_raw_parts(bytes.data as *const u8, bytes.length as usize).to_vec();
        sys::millrace_bytes_free(&mut bytes);
        Ok(copy)
    }
}

fn text(text: &str) -> Result<CString, Error> {
    CString::new(text).map_err(|_| Error { code: "MILLRACE_BAD_ARGUMENT".into(), message: "a NUL inside".into() })
}

/// One attempt of a task, while its handler runs. Inputs and outputs are JSON texts.
pub struct Task<'a> {
    call: &'a sys::Call,
}

impl Task<'_> {
    /// From 1.
    pub fn attempt(&self) -> u32 {
        self.call.attempt_number
    }

    /// What the message that is handled says, and how it came; None: this is a task of a workflow.
    pub fn message(&self) -> Option<Message<'_>> {
        // SAFETY: the table is the host's for ever, what it gives is valid until the handler returns.
        unsafe {
            let table = ((*self.call.host).extension)(self.call.host, sys::DELIVERY.as_ptr() as *const _) as *const sys::Deliveries;
            let mut found: sys::Delivery = zeroed();
            found.size = size_of::<sys::Delivery>() as u32;
            if table.is_null() || ((*table).read)(self.call.attempt, &mut found) != 0 {
                return None;
            }
            let text = |pointer: *const std::ffi::c_char| (!pointer.is_null()).then(|| CStr::from_ptr(pointer).to_string_lossy());
            let headers = (0..found.header_count).map(|index| {
                let (mut name, mut value) = (null(), null());
                ((*table).header)(self.call.attempt, index, &mut name, &mut value);
                (text(name).unwrap_or_default(), text(value))
            });
            Some(Message {
                queue: text(found.queue).unwrap_or_default(),
                exchange: text(found.exchange).unwrap_or_default(),
                key: text(found.key).unwrap_or_default(),
                id: text(found.id),
                correlation_id: text(found.correlation_id),
                reply_to: text(found.reply_to),
                priority: found.priority,
                failed: found.failed,
                headers: headers.collect(),
            })
        }
    }

    /// Input 0 is the definition's, or the payload of the message; the outputs of the dependencies follow. In place.
    pub fn input(&self, index: u32) -> &[u8] {
        // SAFETY: valid until the handler returns, as the header says.
        unsafe {
            let mut input: sys::Input = zeroed();
            input.size = size_of::<sys::Input>() as u32;
            if ((*self.call.host).input)(self.call.attempt, index, &mut input) != 0 || input.payload.length == 0 {
                return &[];
            }
            std::slice::from_raw_parts(input.bytes, input.payload.length as usize)
        }
    }
}

/// What a message says of itself, and how it came.
pub struct Message<'a> {
    pub queue: Cow<'a, str>,
    /// Empty: it was published to the queue itself.
    pub exchange: Cow<'a, str>,
    pub key: Cow<'a, str>,
    pub id: Option<Cow<'a, str>>,
    pub correlation_id: Option<Cow<'a, str>>,
    pub reply_to: Option<Cow<'a, str>>,
    /// 0 the lowest.
    pub priority: u32,
    /// Times that it was handled before without success.
    pub failed: u32,
    /// In the order of their names; None: no text.
    pub headers: Vec<(Cow<'a, str>, Option<Cow<'a, str>>)>,
}

/// How an attempt failed.
pub struct Failure {
    pub message: String,
    pub is_retryable: bool,
}

type Function = Box<dyn Fn(&Task) -> Result<String, Failure> + Send + Sync>;

/// The engine; dropping it destroys it.
pub struct Engine {
    handle: sys::Handle,
    /// What the library calls until it is destroyed. Boxed: their addresses stay.
    functions: Mutex<Vec<Box<Function>>>,
}

impl Engine {
    pub fn new() -> Result<Engine, Error> {
        let mut handle = sys::Handle { id: 0 };
        // SAFETY: all are valid for the call.
        call(|error| unsafe { sys::millrace_engine_create(null(), &mut handle, error) })?;
        Ok(Engine { handle, functions: Mutex::new(Vec::new()) })
    }

    pub fn register<F>(&self, name: &str, function: F) -> Result<(), Error>
    where
        F: Fn(&Task) -> Result<String, Failure> + Send + Sync + 'static,
    {
        // SAFETY: the struct is copied.
        self.with_handler(name, function, |handler, error| unsafe { sys::millrace_engine_register(self.handle, handler, error) })
    }

    /// Has the messages of a queue, which is made if it is not there, handled by a function until the engine goes. What it gives is the answer, where one is wanted.
    pub fn consume<F>(&self, queue: &str, function: F) -> Result<(), Error>
    where
        F: Fn(&Task) -> Result<String, Failure> + Send + Sync + 'static,
    {
        let queue = text(queue)?;
        let mut subscription = sys::Handle { id: 0 };
        // SAFETY: all are valid for the calls, and copied.
        call(|error| unsafe { sys::millrace_queue_declare(self.handle, queue.as_ptr(), null(), error) })?;
        self.with_handler("rust", function, |handler, error| unsafe {
            sys::millrace_subscribe(self.handle, queue.as_ptr(), handler, null(), &mut subscription, error)
        })
    }

    fn with_handler<F>(&self, name: &str, function: F, body: impl FnOnce(&sys::Handler, *mut sys::Error) -> i32) -> Result<(), Error>
    where
        F: Fn(&Task) -> Result<String, Failure> + Send + Sync + 'static,
    {
        let name = text(name)?;
        let function: Box<Function> = Box::new(Box::new(function));
        // SAFETY: zeros are a value of it.
        let mut handler: sys::Handler = unsafe { zeroed() };
        handler.size = size_of::<sys::Handler>() as u32;
        handler.name = name.as_ptr();
        handler.context = &*function as *const Function as *mut c_void;
        handler.run = Some(run);
        // Kept before it can be called.
        let mut functions = self.functions.lock().unwrap();
        functions.push(function);
        let taken = call(|error| body(&handler, error));
        if taken.is_err() {
            functions.pop();
        }
        taken
    }

    /// Publishes JSON to a queue and waits for the answer, `timeout` at most.
    pub fn request(&self, queue: &str, json: &str, headers: &[(&str, &str)], timeout: Duration) -> Result<Vec<u8>, Error> {
        let queue = text(queue)?;
        let texts = headers.iter().flat_map(|(name, value)| [text(name), text(value)]).collect::<Result<Vec<_>, _>>()?;
        let pointers: Vec<_> = texts.iter().map(|text| text.as_ptr()).collect();
        // SAFETY: zeros are a value of it.
        let mut message: sys::Message = unsafe { zeroed() };
        message.size = size_of::<sys::Message>() as u32;
        message.content_type = sys::JSON;
        message.key = queue.as_ptr();
        (message.payload, message.length) = (json.as_ptr() as *const c_void, json.len() as u64);
        (message.headers, message.header_count) = (pointers.as_ptr(), headers.len() as u32);
        let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(sys::FOREVER);
        // SAFETY: all are valid for the call.
        taken(|bytes, error| unsafe { sys::millrace_engine_request(self.handle, &message, nanoseconds, bytes, error) })
    }

    pub fn prepare(&self, name: &str, definition: &str) -> Result<Workflow<'_>, Error> {
        let name = text(name)?;
        let mut handle = sys::Handle { id: 0 };
        // SAFETY: all are valid for the call.
        call(|error| unsafe {
            sys::millrace_workflow_prepare(self.handle, name.as_ptr(), definition.as_ptr(), definition.len(), &mut handle, error)
        })?;
        Ok(Workflow { handle, _engine: self })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Err(error) = call(|place| unsafe { sys::millrace_engine_destroy(self.handle, place) }) {
            // Its functions may still be called.
            eprintln!("{error}");
            std::process::abort();
        }
    }
}

unsafe extern "C" fn run(context: *mut c_void, call: *const sys::Call, outcome: *mut sys::Outcome) -> u32 {
    let (function, call, outcome) = (&*(context as *const Function), &*call, &mut *outcome);
    // Nothing may unwind into the library.
    let result = catch_unwind(AssertUnwindSafe(|| function(&Task { call })))
        .unwrap_or_else(|_| Err(Failure { message: "the handler panicked".into(), is_retryable: false }));
    match result {
        Ok(output) => {
            let room = ((*call.host).claim)(call.attempt, output.len() as u64, sys::JSON, &mut outcome.output);
            if room.is_null() {
                return sys::RETRY;
            }
            std::ptr::copy_nonoverlapping(output.as_ptr(), room, output.len());
            sys::DONE
        }
        Err(failure) => {
            let length = failure.message.len().min(outcome.message_capacity as usize - 1);
            std::ptr::copy_nonoverlapping(failure.message.as_ptr(), outcome.message, length);
            outcome.message_length = length as u32;
            outcome.error_type[..5].copy_from_slice(b"error");
            if failure.is_retryable { sys::RETRY } else { sys::FAILED }
        }
    }
}

/// A definition that was read and checked.
pub struct Workflow<'a> {
    handle: sys::Handle,
    _engine: &'a Engine,
}

impl Workflow<'_> {
    /// Runs it to its end, and gives its result: a JSON text. None: it did not complete.
    pub fn run(&self, parameters: Option<&str>) -> Result<Option<Vec<u8>>, Error> {
        let mut run = sys::Handle { id: 0 };
        // SAFETY: zeros are a value of it.
        let mut start: sys::Start = unsafe { zeroed() };
        start.size = size_of::<sys::Start>() as u32;
        if let Some(parameters) = parameters {
            start.parameters = parameters.as_ptr();
            start.parameters_length = parameters.len();
        }
        // SAFETY: all are valid for the calls.
        call(|error| unsafe { sys::millrace_run_start(self.handle, &start, &mut run, error) })?;
        let result = Self::result(run);
        call(|error| unsafe { sys::millrace_run_release(run, error) })?;
        result
    }

    fn result(run: sys::Handle) -> Result<Option<Vec<u8>>, Error> {
        let mut status = 0;
        call(|error| unsafe { sys::millrace_run_wait(run, sys::FOREVER, &mut status, error) })?;
        if status != 2 {
            return Ok(None);
        }
        // SAFETY: all are valid for the call.
        taken(|bytes, error| unsafe { sys::millrace_run_output(run, null(), bytes, error) }).map(Some)
    }
}

impl Drop for Workflow<'_> {
    fn drop(&mut self) {
        let released = call(|error| unsafe { sys::millrace_workflow_release(self.handle, error) });
        debug_assert!(released.is_ok());
    }
}
