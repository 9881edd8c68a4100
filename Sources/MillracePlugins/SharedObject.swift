import CMillrace
import Glibc

/// A library opened from its private copy.
@safe final class SharedObject: Sendable {
  /// Whether code inside forbids unmapping, whatever the plugin says.
  let mustStay: Bool

  /// The path of the private copy.
  let mappedPath: String

  // Open for as long as the library may be mapped; used by the loading thread only.
  private nonisolated(unsafe) var copy: PrivateCopy?
  // From dlopen.
  private nonisolated(unsafe) let handle: UnsafeMutableRawPointer

  /// - Throws: `missingLibrary`, `missingSymbol`, `refusedByLinker`.
  init(_ copy: consuming PrivateCopy, mustStay: Bool, path: String) throws(PluginError) {
    // A Swift object that is unmapped takes the types of the runtime with it: the next dynamic cast of the process
    // crashes. So it stays even if it is refused below.
    let mode = RTLD_NOW | RTLD_LOCAL | (mustStay ? RTLD_NODELETE : 0)
    // Its headers were checked and its bytes are sealed.
    guard let opened = unsafe dlopen(copy.path, mode) else {
      throw Self.refusal(unsafe dlerror().map { unsafe String(cString: $0) } ?? "no reason given", path: path)
    }
    unsafe handle = opened
    self.mustStay = mustStay
    mappedPath = copy.path
    unsafe self.copy = consume copy
    // As long as the library may be mapped its copy must stay open (see `PrivateCopy`), even if nobody refers to it any
    // more: this reference goes in `close`.
    _ = unsafe Unmanaged.passRetained(self)
  }

  /// The exported entry.
  ///
  /// - Throws: `missingEntry`.
  func entry(path: String) throws(PluginError) -> millrace_plugin_entry_function {
    guard let symbol = unsafe dlsym(handle, MILLRACE_ENTRY_NAME) else { throw .missingEntry(path: path) }
    // The name promises this signature; C knows no better.
    return unsafe unsafeBitCast(symbol, to: millrace_plugin_entry_function.self)
  }

  /// Unmaps the library, unless it must stay. Called once, when nobody calls into it any more.
  func close() {
    guard !mustStay else { return }
    // The caller's promise.
    unsafe dlclose(handle)
    // The linker may keep a library (unique symbols of C++, destructors of threads): then its path stays taken.
    if let still = unsafe dlopen(mappedPath, RTLD_NOW | RTLD_NOLOAD) {
      unsafe dlclose(still)
    } else {
      unsafe copy = nil
      // Balances the reference taken in `init`.
      unsafe Unmanaged.passUnretained(self).release()
    }
  }

  /// What the linker says, as an error. Its words: glibc, elf/dl-load.c and elf/dl-lookup.c.
  static func refusal(_ message: String, path: String) -> PluginError {
    // The copy's path means nothing to the reader.
    let words = message.hasPrefix("/proc/self/fd/") ? message.after(": ").map(String.init) ?? message : message
    if let name = words.after("undefined symbol: ") {
      return .missingSymbol(path: path, symbol: String(name.prefix { $0 != "," && $0 != " " }))
    }
    if words.after("cannot open shared object file") != nil, let colon = words.firstIndex(of: ":") {
      return .missingLibrary(path: path, library: String(words[..<colon]))
    }
    return .refusedByLinker(path: path, reason: words)
  }
}

extension String {
  /// What follows the first `mark`, or nil.
  func after(_ mark: String) -> Substring? {
    var rest = self[...]
    while !rest.isEmpty {
      if rest.hasPrefix(mark) { return rest.dropFirst(mark.count) }
      rest = rest.dropFirst()
    }
    return nil
  }
}
