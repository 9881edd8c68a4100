/// Turns payloads into what is stored, and back: a hook for encryption, which a higher layer brings.
///
/// What is sealed is bound to its place: the same stream and id are given to open it.
public protocol PayloadSeal: AnyObject, Sendable {
  /// What is stored instead of `payload`, at most `EventLimits.payload` bytes, and the number of the key. Called by whoever appends.
  func seal(_ payload: [UInt8], stream: StreamName, id: EventID) throws(EventStoreError) -> (key: UInt32, bytes: [UInt8])

  /// The payload. Called by whoever reads. Throws where the key is not there or the bytes are not what was sealed.
  func open(_ bytes: [UInt8], key: UInt32, stream: StreamName, id: EventID) throws(EventStoreError) -> [UInt8]
}
