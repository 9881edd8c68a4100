internal import CMillrace

extension HostFunctions {
  /// The extension `MILLRACE_DELIVERY`.
  static var deliveries: millrace_deliveries {
    unsafe millrace_deliveries(
      size: UInt32(MemoryLayout<millrace_deliveries>.size), reserved: 0,
      read: { attempt, delivery in
        guard let delivery = unsafe delivery, let subject = unsafe HostFunctions.subject(attempt) else { return -1 }
        return unsafe HostFunctions.write(subject.delivery, to: delivery, least: HostFunctions.firstDeliveryBytes)
      },
      header: { attempt, index, name, value in
        guard let found = unsafe HostFunctions.subject(attempt)?.header(Int(index)) else { return -1 }
        unsafe name?.pointee = found.name
        unsafe value?.pointee = found.value
        return 0
      })
  }

  /// Bytes of `millrace_delivery` in its first version.
  private static let firstDeliveryBytes: UInt32 = 104

  private static func subject(_ opaque: OpaquePointer?) -> (any RunSubject)? {
    let attempt = unsafe attempt(opaque)
    return unsafe attempt.pointee.run._withUnsafeGuaranteedRef { $0.subject }
  }
}
