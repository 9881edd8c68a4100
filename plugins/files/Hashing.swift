import CCrypto
import MillracePluginKit

/// `files/hash`: SHA-256 of files.
///
/// Inputs: see `FileSelection`. Output: `{"files": [{"path", "bytes", "sha256"}], "count", "bytes", "missing": [path],
/// "unreadable": [path]}`, in the order of the input.
///
/// Errors: `bad-input`, `not-found`, `not-a-file`, `not-permitted`, `too-many`, `too-large`, `busy`, `io`.
@Sendable func hashFiles(_ call: borrowing Call) throws(HandlerError) -> Output {
  var pass = try FilePass(call)
  return try pass.run(call) { () throws(HandlerError) in
    try SHA256()
  } update: { digest, block in
    digest.update(block)
  } end: { digest, json in
    json.name("sha256")
    json.value(digest.finish())
  } totals: { _ in
  }
}

/// SHA-256 by libcrypto.
@safe struct SHA256: ~Copyable {
  private let context: OpaquePointer

  /// - Throws: `io` if libcrypto has no memory, or its configuration offers no SHA-256.
  init() throws(HandlerError) {
    // The context is freed in `deinit`, or here.
    guard let made = unsafe EVP_MD_CTX_new() else { throw .failed("io", "libcrypto has no memory") }
    guard unsafe EVP_DigestInit_ex(made, EVP_sha256(), nil) == 1 else {
      unsafe EVP_MD_CTX_free(made)
      throw .failed("io", "libcrypto offers no SHA-256")
    }
    unsafe context = made
  }

  deinit { unsafe EVP_MD_CTX_free(context) }

  mutating func update(_ bytes: Span<UInt8>) {
    // The bytes outlive the call.
    let accepted = unsafe bytes.withUnsafeBufferPointer { unsafe EVP_DigestUpdate(context, $0.baseAddress, $0.count) }
    precondition(accepted == 1, "a started digest takes bytes")
  }

  /// 64 hexadecimal digits.
  consuming func finish() -> String {
    var bytes = [UInt8](repeating: 0, count: 32)
    // SHA-256 writes 32 bytes.
    let finished = unsafe EVP_DigestFinal_ex(context, &bytes, nil)
    precondition(finished == 1, "a started digest finishes")
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
}
