/// Texts as C has them, for one call.
///
/// unsafe: the pointers that `body` gets are valid in it, in the order of `texts`.
@unsafe func withCTexts<Value>(_ texts: [String], _ body: (UnsafeBufferPointer<UnsafePointer<CChar>>) -> Value) -> Value {
  var bytes: [CChar] = []
  var offsets: [Int] = []
  for text in texts {
    offsets.append(bytes.count)
    for byte in text.utf8 { bytes.append(CChar(bitPattern: byte)) }
    bytes.append(0)
  }
  return unsafe bytes.withUnsafeBufferPointer { all in
    let pointers = unsafe offsets.map { unsafe all.baseAddress! + $0 }
    return unsafe pointers.withUnsafeBufferPointer { unsafe body($0) }
  }
}
