import CMillrace
import Glibc

/// One attempt on its way to a child: what it is, and what of it is copied.
///
/// It may wait for a slot: inputs stay readable until the attempt ends, texts are copied.
@safe struct CallRequest: @unchecked Sendable {
  let attempt: OpaquePointer?
  let host: UnsafePointer<millrace_host>
  let token: millrace_token
  let handler: UInt32
  let number: UInt32
  let deadline: UInt64
  let key: String
  let id: String

  /// unsafe: in the handler's call.
  @unsafe init(_ call: UnsafePointer<millrace_call>, handler: UInt32, token: millrace_token) {
    unsafe attempt = call.pointee.attempt
    unsafe host = call.pointee.host
    self.token = token
    self.handler = handler
    unsafe number = call.pointee.attempt_number
    unsafe deadline = call.pointee.deadline
    unsafe key = String(cString: call.pointee.task_key)
    unsafe id = String(cString: call.pointee.task_id)
  }

  var isCancelled: Bool { unsafe host.pointee.cancelled(attempt) != 0 }
}

/// The host's extensions that an attempt is copied with: looked up once.
@safe struct HostTables: @unchecked Sendable {
  let environment: UnsafePointer<millrace_environment>?
  let trace: UnsafePointer<millrace_trace>?

  /// unsafe: `host` outlives this.
  @unsafe init(_ host: UnsafePointer<millrace_host>) {
    unsafe environment = host.pointee.extension(host, MILLRACE_ENVIRONMENT).map {
      unsafe $0.assumingMemoryBound(to: millrace_environment.self)
    }
    unsafe trace = host.pointee.extension(host, MILLRACE_TRACE).map { unsafe $0.assumingMemoryBound(to: millrace_trace.self) }
  }
}

/// Writes an attempt into a child's page: the tables of inputs and variables, the texts, and the bytes of inputs, which begin at multiples of 16. What is small
/// goes near the request, the rest into the slot's region.
@safe struct CallWriter {
  /// More than fit into the region: how many there are.
  struct TooLarge: Error { let bytes: UInt64 }

  private let page: UnsafeMutableRawPointer
  private let near: UInt64
  private let region: UInt64
  private let most: UInt64
  private var nearUsed: UInt64 = 0
  private var used: UInt64 = 0

  /// unsafe: `page` has `most` bytes from `region` on, and MILLRACE_ISOLATION_NEAR_BYTES from `near` on, which are the caller's.
  @unsafe init(page: UnsafeMutableRawPointer, near: UInt64, region: UInt64, most: UInt64) {
    unsafe self.page = page
    self.near = near
    self.region = region
    self.most = most
  }

  private mutating func take(_ bytes: UInt64, alignment: UInt64) throws(TooLarge) -> UInt64 {
    let nearStart = (nearUsed + alignment - 1) & ~(alignment - 1)
    if bytes <= UInt64(MILLRACE_ISOLATION_NEAR_BYTES), nearStart + bytes <= UInt64(MILLRACE_ISOLATION_NEAR_BYTES) {
      nearUsed = nearStart + bytes
      return near + nearStart
    }
    let start = (used + alignment - 1) & ~(alignment - 1)
    guard bytes <= most, start <= most - bytes else { throw TooLarge(bytes: start.addingReportingOverflow(bytes).partialValue) }
    used = start + bytes
    return region + start
  }

  private mutating func put(_ bytes: UnsafeRawBufferPointer, alignment: UInt64 = 1) throws(TooLarge) -> UInt64 {
    let at = try take(UInt64(bytes.count), alignment: alignment)
    // unsafe: `take` has seen that there is room.
    if let start = bytes.baseAddress { unsafe (page + Int(at)).copyMemory(from: start, byteCount: bytes.count) }
    return at
  }

  private mutating func put(_ text: UnsafePointer<CChar>) throws(TooLarge) -> UInt64 {
    try unsafe put(UnsafeRawBufferPointer(start: text, count: strlen(text) + 1))
  }

  /// Fills `request`, but for the generation. The bytes of the region that are in use.
  mutating func write(
    _ request: UnsafeMutablePointer<millrace_isolated_request>, handler: UInt32, number: UInt32, deadline: UInt64,
    host: UnsafePointer<millrace_host>,
    _ tables: HostTables, attempt: OpaquePointer?, key: UnsafePointer<CChar>, id: UnsafePointer<CChar>
  ) throws(TooLarge) -> UInt64 {
    unsafe request.pointee.handler = handler
    unsafe request.pointee.attempt_number = number
    unsafe request.pointee.deadline = deadline
    let inputs = unsafe host.pointee.input_count(attempt)
    let stride = UInt64(MemoryLayout<millrace_isolated_input>.stride)
    let table = try take(UInt64(inputs) * stride, alignment: 16)
    unsafe request.pointee.inputs = table
    unsafe request.pointee.input_count = inputs
    unsafe request.pointee.task_key = try put(key)
    unsafe request.pointee.task_id = try put(id)
    for index in 0..<inputs {
      var input = unsafe millrace_input()
      unsafe input.size = UInt32(MemoryLayout<millrace_input>.size)
      var entry = millrace_isolated_input()
      if unsafe host.pointee.input(attempt, index, &input) == 0 {
        // unsafe: the host's, until the attempt ends.
        entry.name = try unsafe put(input.name)
        entry.offset = try unsafe put(UnsafeRawBufferPointer(start: input.bytes, count: Int(input.payload.length)), alignment: 16)
        unsafe entry.length = input.payload.length
        unsafe entry.content_type = input.payload.content_type
      }
      unsafe (page + Int(table + UInt64(index) * stride)).storeBytes(of: entry, as: millrace_isolated_input.self)
    }
    try unsafe putVariables(request, host, tables.environment, attempt)
    unsafe request.pointee.has_trace = 0
    if let trace = unsafe tables.trace {
      // unsafe: the field has room for the text and a NUL.
      let said = unsafe withUnsafeMutableBytes(of: &request.pointee.traceparent) { field in
        unsafe trace.pointee.traceparent(attempt, field.baseAddress!.assumingMemoryBound(to: CChar.self))
      }
      unsafe request.pointee.has_trace = said == 0 ? 1 : 0
    }
    return used
  }

  private mutating func putVariables(
    _ request: UnsafeMutablePointer<millrace_isolated_request>, _ host: UnsafePointer<millrace_host>,
    _ environment: UnsafePointer<millrace_environment>?, _ attempt: OpaquePointer?
  ) throws(TooLarge) {
    unsafe request.pointee.variable_count = 0
    unsafe request.pointee.variables = 0
    guard let environment = unsafe environment else { return }
    let count = unsafe environment.pointee.count(attempt)
    if count == 0 { return }
    let stride = UInt64(MemoryLayout<millrace_isolated_variable>.stride)
    let table = try take(UInt64(count) * stride, alignment: 16)
    for index in 0..<count {
      var name: UnsafePointer<CChar>?
      var value: UnsafePointer<CChar>?
      guard unsafe environment.pointee.at(attempt, index, &name, &value) == 0, let name = unsafe name, let value = unsafe value else {
        continue
      }
      var entry = millrace_isolated_variable()
      entry.name = try unsafe put(name)
      entry.value = try unsafe put(value)
      // What the host would replace is a secret.
      let length = unsafe strlen(value)
      var copy = unsafe Array(UnsafeBufferPointer(start: value, count: length))
      if length > 0,
        unsafe environment.pointee.redact(host, &copy, length) != length || copy != Array(UnsafeBufferPointer(start: value, count: length))
      {
        entry.flags = UInt32(MILLRACE_VARIABLE_SECRET)
      }
      unsafe (page + Int(table + UInt64(index) * stride)).storeBytes(of: entry, as: millrace_isolated_variable.self)
    }
    unsafe request.pointee.variables = table
    unsafe request.pointee.variable_count = count
  }
}
