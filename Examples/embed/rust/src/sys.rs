//! millrace/millrace.h and millrace/plugin.h, as far as `lib.rs` uses them. The sizes are asserted, as in the headers.

use std::ffi::{c_char, c_void};
use std::mem::size_of;

pub const OK: i32 = 0;
pub const FOREVER: u64 = u64::MAX;
pub const JSON: u32 = 1;
pub const DONE: u32 = 0;
pub const RETRY: u32 = 2;
pub const FAILED: u32 = 3;

#[repr(C)]
pub struct Error {
    pub size: u32,
    pub code: i32,
    pub message: [u8; 4096],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Handle {
    pub id: u64,
}

#[repr(C)]
pub struct Bytes {
    pub size: u32,
    pub content_type: u32,
    pub data: *mut c_void,
    pub length: u64,
}

#[repr(C)]
pub struct Start {
    pub size: u32,
    pub reserved: u32,
    pub parameters: *const u8,
    pub parameters_length: usize,
    pub tenant: *const c_char,
    pub trace: *const c_char,
    pub context: *mut c_void,
    pub finished: Option<unsafe extern "C" fn(*mut c_void, Handle, u32)>,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Payload {
    pub offset: u64,
    pub length: u64,
    pub arena: u32,
    pub content_type: u32,
}

#[repr(C)]
pub struct Outcome {
    pub size: u32,
    pub status: u32,
    pub retry_after: u64,
    pub output: Payload,
    pub details: Payload,
    pub message_capacity: u32,
    pub message_length: u32,
    pub message: *mut u8,
    pub error_type: [u8; 64],
}

#[repr(C)]
pub struct Input {
    pub size: u32,
    pub reserved: u32,
    pub payload: Payload,
    pub bytes: *const u8,
    pub name: *const c_char,
}

/// Opaque.
#[repr(C)]
pub struct Attempt {
    _private: [u8; 0],
}

#[repr(C)]
pub struct Host {
    pub size: u32,
    pub abi_version: u32,
    pub name: *const c_char,
    pub version: *const c_char,
    pub context: *mut c_void,
    pub now: *const c_void,
    pub setting: *const c_void,
    pub log: *const c_void,
    pub input_count: unsafe extern "C" fn(*const Attempt) -> u32,
    pub input: unsafe extern "C" fn(*const Attempt, u32, *mut Input) -> i32,
    pub claim: unsafe extern "C" fn(*mut Attempt, u64, u32, *mut Payload) -> *mut u8,
    pub cancelled: *const c_void,
    pub heartbeat: *const c_void,
    pub token: *const c_void,
    pub complete: *const c_void,
    pub complete_after: *const c_void,
    pub extension: unsafe extern "C" fn(*const Host, *const c_char) -> *const c_void,
}

pub const DELIVERY: &[u8] = b"millrace.delivery/1\0";

#[repr(C)]
pub struct Delivery {
    pub size: u32,
    pub priority: u32,
    pub queue: *const c_char,
    pub exchange: *const c_char,
    pub key: *const c_char,
    pub id: *const c_char,
    pub content_type: *const c_char,
    pub correlation_id: *const c_char,
    pub reply_to: *const c_char,
    pub kind: *const c_char,
    pub tenant: *const c_char,
    pub timestamp: i64,
    pub acquired: u32,
    pub failed: u32,
    pub header_count: u32,
    pub reserved: u32,
}

#[repr(C)]
pub struct Deliveries {
    pub size: u32,
    pub reserved: u32,
    pub read: unsafe extern "C" fn(*const Attempt, *mut Delivery) -> i32,
    pub header: unsafe extern "C" fn(*const Attempt, u32, *mut *const c_char, *mut *const c_char) -> i32,
}

#[repr(C)]
pub struct Message {
    pub size: u32,
    pub content_type: u32,
    pub exchange: *const c_char,
    pub key: *const c_char,
    pub payload: *const c_void,
    pub length: u64,
    pub delay: u64,
    pub time_to_live: u64,
    pub priority: u32,
    pub flags: u32,
    pub id: *const c_char,
    pub correlation: *const c_char,
    pub reply_to: *const c_char,
    pub tenant: *const c_char,
    pub headers: *const *const c_char,
    pub header_count: u32,
    pub reserved: u32,
}

#[repr(C)]
pub struct Call {
    pub size: u32,
    pub attempt_number: u32,
    pub attempt: *mut Attempt,
    pub host: *const Host,
    pub task_key: *const c_char,
    pub task_id: *const c_char,
    pub deadline: u64,
    pub reserved: u64,
}

#[repr(C)]
pub struct Handler {
    pub size: u32,
    pub flags: u32,
    pub name: *const c_char,
    pub summary: *const c_char,
    pub input_schema: *const c_char,
    pub output_schema: *const c_char,
    pub context: *mut c_void,
    pub concurrency: u32,
    pub reserved: u32,
    pub run: Option<unsafe extern "C" fn(*mut c_void, *const Call, *mut Outcome) -> u32>,
}

const _: () = {
    assert!(size_of::<Error>() == 4104);
    assert!(size_of::<Bytes>() == 24);
    assert!(size_of::<Start>() == 56);
    assert!(size_of::<Outcome>() == 144);
    assert!(size_of::<Input>() == 48);
    assert!(size_of::<Call>() == 56);
    assert!(size_of::<Handler>() == 64);
    assert!(size_of::<Host>() == 128);
    assert!(size_of::<Delivery>() == 104);
    assert!(size_of::<Deliveries>() == 24);
    assert!(size_of::<Message>() == 112);
};

extern "C" {
    pub fn millrace_code_name(code: i32) -> *const c_char;
    pub fn millrace_bytes_free(bytes: *mut Bytes);
    pub fn millrace_engine_create(configuration: *const c_void, engine: *mut Handle, error: *mut Error) -> i32;
    pub fn millrace_engine_destroy(engine: Handle, error: *mut Error) -> i32;
    pub fn millrace_engine_register(engine: Handle, handler: *const Handler, error: *mut Error) -> i32;
    pub fn millrace_engine_request(
        engine: Handle, message: *const Message, timeout: u64, answer: *mut Bytes, error: *mut Error,
    ) -> i32;
    pub fn millrace_queue_declare(engine: Handle, name: *const c_char, queue: *const c_void, error: *mut Error) -> i32;
    pub fn millrace_subscribe(
        engine: Handle, queue: *const c_char, handler: *const Handler, options: *const c_void, subscription: *mut Handle, error: *mut Error,
    ) -> i32;
    pub fn millrace_workflow_prepare(
        engine: Handle, name: *const c_char, text: *const u8, length: usize, workflow: *mut Handle, error: *mut Error,
    ) -> i32;
    pub fn millrace_workflow_release(workflow: Handle, error: *mut Error) -> i32;
    pub fn millrace_run_start(workflow: Handle, start: *const Start, run: *mut Handle, error: *mut Error) -> i32;
    pub fn millrace_run_wait(run: Handle, timeout: u64, status: *mut u32, error: *mut Error) -> i32;
    pub fn millrace_run_output(run: Handle, task: *const c_char, output: *mut Bytes, error: *mut Error) -> i32;
    pub fn millrace_run_release(run: Handle, error: *mut Error) -> i32;
}
