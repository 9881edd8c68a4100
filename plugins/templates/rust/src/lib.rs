//! A plugin of Millrace.

mod millrace;

use millrace::{Call, Handler, Outcome, Plugin, Shared};
use std::ffi::c_void;
use std::mem::size_of;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::ptr::null;

/// Counts the bytes of input 0, and the words. Called on many threads at once.
fn count(call: &Call, outcome: &mut Outcome) -> u32 {
    let input = call.input(0).unwrap_or(&[]);
    let words = input.split(|byte| b" \t\n\r".contains(byte)).filter(|word| !word.is_empty()).count();
    let text = format!("{{\"bytes\":{},\"words\":{}}}", input.len(), words);
    match call.claim(text.len(), millrace::JSON, &mut outcome.output) {
        Some(bytes) => {
            bytes.copy_from_slice(text.as_bytes());
            millrace::DONE
        }
        None => outcome.error(millrace::RETRY, "no-memory"),
    }
}

/// What the host calls: a panic must not leave it.
unsafe extern "C" fn run(_context: *mut c_void, call: *const Call, outcome: *mut Outcome) -> u32 {
    // SAFETY: both are the host's, for this call.
    let (call, outcome) = unsafe { (&*call, &mut *outcome) };
    let status = catch_unwind(AssertUnwindSafe(|| count(call, outcome)));
    outcome.status = status.unwrap_or_else(|_| outcome.error(millrace::FAILED, "panic"));
    outcome.status
}

static COUNT: Shared<Handler> = Shared(Handler {
    size: size_of::<Handler>() as u32,
    flags: 0,
    name: c"count".as_ptr(),
    summary: c"Counts the bytes and words of input 0".as_ptr(),
    input_schema: null(),
    output_schema: c"{\"type\":\"object\",\"properties\":{\"bytes\":{\"type\":\"integer\",\"minimum\":0},\"words\":{\"type\":\"integer\",\"minimum\":0}},\"required\":[\"bytes\",\"words\"],\"additionalProperties\":false}".as_ptr(),
    context: null::<c_void>() as *mut c_void,
    concurrency: 0,
    reserved: 0,
    run: Some(run),
});
static HANDLERS: Shared<[&Handler; 1]> = Shared([&COUNT.0]);
static PLUGIN: Shared<Plugin> = Shared(Plugin {
    size: size_of::<Plugin>() as u32,
    abi_version: millrace::ABI_VERSION,
    name: c"@NAME@".as_ptr(),
    version: c"0.1.0".as_ptr(),
    summary: c"Counts words".as_ptr(),
    configuration_schema: null(),
    init: None,
    deinit: None,
    extension: None,
    handlers: HANDLERS.0.as_ptr() as *const *const Handler,
    handler_count: HANDLERS.0.len() as u32,
    flags: 0,
});

#[no_mangle]
pub extern "C" fn millrace_plugin_entry(host_abi_version: u32) -> *const Plugin {
    millrace::keep_manifest();
    if host_abi_version == millrace::ABI_VERSION { &PLUGIN.0 } else { null() }
}
