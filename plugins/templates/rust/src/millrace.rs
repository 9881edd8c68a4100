//! millrace/plugin.h, version 1, in Rust. What the functions promise stands there. The layout goes into the manifest, which the host compares with its own.
#![allow(dead_code)]

use std::ffi::{c_char, c_void};
use std::mem::{offset_of, size_of};
use std::ptr::null;

pub const ABI_VERSION: u32 = 1;

pub const BYTES: u32 = 0;
pub const JSON: u32 = 1;
pub const TEXT: u32 = 2;

pub const DONE: u32 = 0;
pub const PENDING: u32 = 1;
pub const RETRY: u32 = 2;
pub const FAILED: u32 = 3;
pub const CANCELLED: u32 = 4;

pub const BLOCKING: u32 = 1 << 0;
pub const EXCLUSIVE: u32 = 1 << 1;

#[repr(C)]
#[derive(Clone, Copy)]
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

impl Outcome {
    /// An error of that type: a word of at most 63 bytes.
    pub fn error(&mut self, status: u32, word: &str) -> u32 {
        let length = word.len().min(self.error_type.len() - 1);
        self.error_type = [0; 64];
        self.error_type[..length].copy_from_slice(&word.as_bytes()[..length]);
        status
    }
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

pub type Token = u64;
pub type Draft = u64;

#[repr(C)]
pub struct Host {
    pub size: u32,
    pub abi_version: u32,
    pub name: *const c_char,
    pub version: *const c_char,
    pub context: *mut c_void,
    pub now: unsafe extern "C" fn(*const Host) -> u64,
    pub setting: unsafe extern "C" fn(*const Host, *const c_char) -> *const c_char,
    pub log: unsafe extern "C" fn(*const Host, u32, *const c_char),
    pub input_count: unsafe extern "C" fn(*const Attempt) -> u32,
    pub input: unsafe extern "C" fn(*const Attempt, u32, *mut Input) -> i32,
    pub claim: unsafe extern "C" fn(*mut Attempt, u64, u32, *mut Payload) -> *mut c_void,
    pub cancelled: unsafe extern "C" fn(*const Attempt) -> i32,
    pub heartbeat: unsafe extern "C" fn(*mut Attempt, u32),
    pub token: unsafe extern "C" fn(*mut Attempt) -> Token,
    pub complete: unsafe extern "C" fn(*const Host, Token, *const Outcome) -> i32,
    pub complete_after: unsafe extern "C" fn(*const Host, Token, u64, *const Outcome) -> i32,
    pub extension: unsafe extern "C" fn(*const Host, *const c_char) -> *const c_void,
}

#[repr(C)]
pub struct Environment {
    pub size: u32,
    pub reserved: u32,
    pub count: unsafe extern "C" fn(*const Attempt) -> u32,
    pub at: unsafe extern "C" fn(*const Attempt, u32, *mut *const c_char, *mut *const c_char) -> i32,
    pub get: unsafe extern "C" fn(*const Attempt, *const c_char) -> *const c_char,
    pub redact: unsafe extern "C" fn(*const Host, *mut c_char, usize) -> usize,
}

#[repr(C)]
pub struct Items {
    pub size: u32,
    pub reserved: u32,
    pub count: unsafe extern "C" fn(*const Attempt, u32) -> i64,
    pub item: unsafe extern "C" fn(*const Attempt, u32, u32, *mut Input) -> i32,
}

#[repr(C)]
pub struct Trace {
    pub size: u32,
    pub reserved: u32,
    pub traceparent: unsafe extern "C" fn(*const Attempt, *mut c_char) -> i32,
}

#[repr(C)]
pub struct Random {
    pub size: u32,
    pub reserved: u32,
    pub fill: unsafe extern "C" fn(*const Host, *mut c_void, usize) -> i32,
}

#[repr(C)]
pub struct Publication {
    pub size: u32,
    pub flags: u32,
    pub exchange: *const c_char,
    pub key: *const c_char,
    pub id: *const c_char,
    pub content_type: *const c_char,
    pub correlation_id: *const c_char,
    pub reply_to: *const c_char,
    pub headers: *const *const c_char,
    pub delay: u64,
    pub time_to_live: u64,
    pub priority: u32,
    pub header_count: u32,
}

#[repr(C)]
pub struct Broker {
    pub size: u32,
    pub reserved: u32,
    pub claim: unsafe extern "C" fn(*const Host, *const Attempt, u64, *const Publication, *mut Draft, *mut *mut c_void) -> u32,
    pub publish: unsafe extern "C" fn(*const Host, Draft, *mut u32) -> u32,
    pub drop: unsafe extern "C" fn(*const Host, Draft),
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

impl Call {
    pub fn host(&self) -> &Host {
        // SAFETY: the host's, until `deinit` has returned.
        unsafe { &*self.host }
    }

    /// Input 0 is the definition's, the outputs of the dependencies follow. In place; None: there is no such input.
    pub fn input(&self, index: u32) -> Option<&[u8]> {
        let mut input = Input {
            size: size_of::<Input>() as u32,
            reserved: 0,
            payload: Payload { offset: 0, length: 0, arena: 0, content_type: 0 },
            bytes: null(),
            name: null(),
        };
        // SAFETY: valid until the attempt ends, and read-only; an empty one may be nowhere.
        unsafe {
            if (self.host().input)(self.attempt, index, &mut input) != 0 {
                return None;
            }
            if input.payload.length == 0 {
                return Some(&[]);
            }
            Some(std::slice::from_raw_parts(input.bytes, input.payload.length as usize))
        }
    }

    /// Memory of the host's for an output; None: it has none, or it is too much.
    pub fn claim(&self, length: usize, content_type: u32, payload: &mut Payload) -> Option<&mut [u8]> {
        // SAFETY: `length` bytes, the attempt's until it ends. Not cleared: they are numbers all the same.
        unsafe {
            let bytes = (self.host().claim)(self.attempt, length as u64, content_type, payload);
            (!bytes.is_null()).then(|| std::slice::from_raw_parts_mut(bytes as *mut u8, length))
        }
    }

    /// Whether the attempt should stop.
    pub fn cancelled(&self) -> bool {
        // SAFETY: the attempt is valid during the call.
        unsafe { (self.host().cancelled)(self.attempt) != 0 }
    }
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

#[repr(C)]
pub struct Plugin {
    pub size: u32,
    pub abi_version: u32,
    pub name: *const c_char,
    pub version: *const c_char,
    pub summary: *const c_char,
    pub configuration_schema: *const c_char,
    pub init: Option<unsafe extern "C" fn(*const Host, *mut c_char, usize) -> i32>,
    pub deinit: Option<unsafe extern "C" fn()>,
    pub extension: Option<unsafe extern "C" fn(*const c_char) -> *const c_void>,
    pub handlers: *const *const Handler,
    pub handler_count: u32,
    pub flags: u32,
}

/// What is read by many threads, and written by none.
pub struct Shared<T>(pub T);
// SAFETY: constants, whose pointers point to constants.
unsafe impl<T> Sync for Shared<T> {}

#[repr(C)]
struct Entry {
    name: [u8; 40],
    offset: u32,
    size: u32,
}

#[repr(C)]
struct Manifest {
    magic: [u8; 8],
    size: u32,
    manifest_version: u32,
    abi_version: u32,
    entry_count: u32,
    entries: [Entry; COUNT],
}

const fn entry(owner: &str, field: &str, offset: usize, size: usize) -> Entry {
    let (owner, field) = (owner.as_bytes(), field.as_bytes());
    let mut name = [0; 40];
    let mut at = 0;
    while at < owner.len() {
        name[at] = owner[at];
        at += 1;
    }
    if !field.is_empty() {
        name[at] = b'.';
        let mut next = 0;
        while next < field.len() {
            name[at + 1 + next] = field[next];
            next += 1;
        }
    }
    Entry { name, offset: offset as u32, size: size as u32 }
}

const fn size_of_field<T, F>(_: fn(&T) -> &F) -> usize {
    size_of::<F>()
}

macro_rules! layout {
    ($($name:ident $kind:ident { $($field:ident)* })*) => {
        const COUNT: usize = 0 $( + 1 $( + { let _ = offset_of!($kind, $field); 1 } )* )*;
        const ENTRIES: [Entry; COUNT] = [
            $(
                entry(stringify!($name), "", 0, size_of::<$kind>()),
                $( entry(stringify!($name), stringify!($field), offset_of!($kind, $field), size_of_field(|whole: &$kind| &whole.$field)), )*
            )*
        ];
    };
}

layout! {
    payload Payload { offset length arena content_type }
    outcome Outcome { size status retry_after output details message_capacity message_length message error_type }
    input Input { size reserved payload bytes name }
    host Host { size abi_version name version context now setting log input_count input claim cancelled heartbeat token complete complete_after extension }
    environment Environment { size reserved count at get redact }
    items Items { size reserved count item }
    trace Trace { size reserved traceparent }
    random Random { size reserved fill }
    publication Publication { size flags exchange key id content_type correlation_id reply_to headers delay time_to_live priority header_count }
    broker Broker { size reserved claim publish drop }
    call Call { size attempt_number attempt host task_key task_id deadline reserved }
    handler Handler { size flags name summary input_schema output_schema context concurrency reserved run }
    plugin Plugin { size abi_version name version summary configuration_schema init deinit extension handlers handler_count flags }
}

#[used]
#[link_section = ".millrace"]
static MANIFEST: Manifest = Manifest {
    magic: *b"MILLRACE",
    size: size_of::<Manifest>() as u32,
    manifest_version: 1,
    abi_version: ABI_VERSION,
    entry_count: COUNT as u32,
    entries: ENTRIES,
};

/// The linker drops what nobody refers to.
pub fn keep_manifest() {
    std::hint::black_box(&MANIFEST.size);
}
