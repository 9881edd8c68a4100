internal import MillraceCore

/// Names and the numbers by which appends call them. Complexity: O(length of the name), under the index's lock; keep the numbers.
extension EventLog {
  /// The number of a stream; what is not there yet begins with its first event.
  public func number(of stream: StreamName) -> StreamNumber {
    StreamNumber(value: index.monitor.locked { index.number(of: stream) })
  }

  /// - Parameter tenant: 1 to `EventLimits.name` bytes without control characters. Throws `invalid` for other names, and for one too many: 2^31.
  public func number(ofTenant tenant: String) throws(EventStoreError) -> TenantNumber {
    try Self.check(tenant, "a tenant")
    return TenantNumber(value: UInt32(try number(tenant, in: \.tenants, limit: 1 << 31, "tenants")))
  }

  /// As for tenants; there are at most 65,536 types.
  public func number(ofType type: String) throws(EventStoreError) -> EventTypeNumber {
    try Self.check(type, "a type")
    return EventTypeNumber(value: UInt16(try number(type, in: \.types, limit: 1 << 16, "types of events")))
  }

  /// As for types.
  public func number(ofContentType type: String) throws(EventStoreError) -> ContentTypeNumber {
    if type == EventDraft.json { return .json }
    try Self.check(type, "a content type")
    return ContentTypeNumber(value: UInt16(try number(type, in: \.contentTypes, limit: 1 << 16, "content types")))
  }

  private func number(
    _ name: String, in names: ReferenceWritableKeyPath<LogIndex, NumberedNames>, limit: Int, _ what: String
  ) throws(EventStoreError) -> Int {
    guard let number = index.monitor.locked({ index[keyPath: names].number(of: name, limit: limit) }) else {
      throw .invalid("a log knows at most \(limit - 1) \(what): use fewer names")
    }
    return number
  }

  private static func check(_ name: String, _ what: String) throws(EventStoreError) {
    if let fault = EventStoreError.fault(inName: name, of: what) { throw fault }
  }
}
