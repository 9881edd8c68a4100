// swift-format-ignore-file: AlwaysUseLowerCamelCase

public import CMillraceEmbedding
internal import Millrace
internal import MillraceWorkflow

// What millrace/millrace.h says of sagas. Throughout, unsafe: the caller's memory is as the header says.

@c @implementation public func millrace_saga_status(
  _ run: millrace_run, _ status: UnsafeMutablePointer<UInt32>?, _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let saga = try saga(run)
    unsafe try Arguments.place(status, "status").pointee = saga.status.number
  }
}

@c @implementation public func millrace_saga_resume(
  _ run: millrace_run, _ step: UnsafePointer<CChar>?, _ by: UnsafePointer<CChar>?, _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let saga = try saga(run, for: "millrace_saga_resume")
    try saga.resume(step: unsafe Arguments.optionalText(step, "step"), by: unsafe Arguments.text(by, "by"))
  }
}

@c @implementation public func millrace_saga_skip(
  _ run: millrace_run, _ step: UnsafePointer<CChar>?, _ by: UnsafePointer<CChar>?, _ reason: UnsafePointer<CChar>?,
  _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let saga = try saga(run, for: "millrace_saga_skip")
    try saga.skip(
      step: unsafe Arguments.text(step, "step"), by: unsafe Arguments.text(by, "by"), reason: unsafe Arguments.text(reason, "reason"))
  }
}

@c @implementation public func millrace_saga_force(
  _ run: millrace_run, _ by: UnsafePointer<CChar>?, _ reason: UnsafePointer<CChar>?, _ error: UnsafeMutablePointer<millrace_error>?
) -> Int32 {
  unsafe perform(error) {
    let saga = try saga(run, for: "millrace_saga_force")
    try saga.force(by: unsafe Arguments.text(by, "by"), reason: unsafe Arguments.text(reason, "reason"))
  }
}

/// `waiting`: the verb, which waits. Throws `Failure`.
private func saga(_ run: millrace_run, for waiting: String? = nil) throws(Failure) -> SagaHandle {
  let embedded = try HandleTable.shared.find(run.id, EmbeddedRun.self)
  guard let saga = embedded.handle.saga else {
    throw Failure(.notFound, "the run \(embedded.handle.id) of \(embedded.handle.definition.name) is no saga")
  }
  if let waiting { try embedded.owner.checkIsOutside(waiting) }
  return saga
}

extension SagaStatus {
  /// MILLRACE_SAGA_...
  fileprivate var number: UInt32 {
    switch self {
    case .started: 0
    case .running: 1
    case .completed: 2
    case .compensating: 3
    case .compensated: 4
    case .compensatedWithSkips: 5
    case .compensationParked: 6
    case .pivotParked: 7
    case .forwardParked: 8
    }
  }
}
