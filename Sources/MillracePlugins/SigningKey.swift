import CCrypto
import Glibc

/// The public half of an Ed25519 key.
///
/// # Source
/// RFC 8032.
public struct SigningKey: Sendable, Hashable {
  /// Bytes of a key.
  public static let keyBytes = 32
  /// Bytes of a signature.
  public static let signatureBytes = 64
  /// Bytes of a file with a key, at most.
  public static let largestFile = 16 << 10

  /// ``keyBytes`` bytes.
  public let bytes: [UInt8]

  /// The key of these ``keyBytes`` bytes; nil: there are more, or fewer.
  public init?(bytes: [UInt8]) {
    guard bytes.count == Self.keyBytes else { return nil }
    self.bytes = bytes
  }

  /// The key in a file as `openssl pkey -in private.pem -pubout` writes it.
  ///
  /// - Throws: `badTrust` if there is none, if it is another kind of key, or with what is wrong with the file: the same may write it as a plugin.
  public init(pem path: String) throws(PluginError) {
    let text = try PluginTrust.trustedBytes(path, limit: Self.largestFile)
    var key = [UInt8](repeating: 0, count: Self.keyBytes)
    var isOther = false
    // unsafe: the buffer, the key and `text` outlive their use; libcrypto writes `size` bytes at most.
    let isThere = unsafe text.withUnsafeBytes { text in
      guard let buffer = unsafe BIO_new_mem_buf(text.baseAddress, Int32(text.count)) else { return false }
      defer { unsafe BIO_free(buffer) }
      guard let read = unsafe PEM_read_bio_PUBKEY(buffer, nil, nil, nil) else { return false }
      defer { unsafe EVP_PKEY_free(read) }
      guard unsafe EVP_PKEY_get_id(read) == EVP_PKEY_ED25519 else {
        isOther = true
        return false
      }
      var size = key.count
      return unsafe EVP_PKEY_get_raw_public_key(read, &key, &size) == 1 && size == Self.keyBytes
    }
    guard isThere else {
      let reason = isOther ? "its key is not one for Ed25519" : "there is no public key in it, which begins with -----BEGIN PUBLIC KEY-----"
      throw .badTrust(path: path, reason: reason)
    }
    bytes = key
  }

  /// Whether whoever has the private half made this signature of `content`. Complexity: O(bytes of `content`), twice.
  func verifies(_ signature: [UInt8], of content: UnsafeRawBufferPointer) -> Bool {
    // unsafe: both are freed below; every length is that of its buffer.
    guard let key = unsafe EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nil, bytes, bytes.count) else { return false }
    defer { unsafe EVP_PKEY_free(key) }
    guard let context = unsafe EVP_MD_CTX_new() else { return false }
    defer { unsafe EVP_MD_CTX_free(context) }
    // Ed25519 hashes for itself.
    guard unsafe EVP_DigestVerifyInit(context, nil, nil, nil, key) == 1 else { return false }
    return unsafe EVP_DigestVerify(
      context, signature, signature.count, content.baseAddress?.assumingMemoryBound(to: UInt8.self), content.count) == 1
  }
}
