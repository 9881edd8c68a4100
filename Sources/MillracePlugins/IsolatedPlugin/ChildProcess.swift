import CMillrace
import Glibc

/// A process of an isolated plugin, and the memory that it shares with this one. Each process gets memory of its own: what a crashed one left there
/// is nobody's.
///
/// # Threads
/// Made and ended by the plugin's thread. While it is there, any may read `page`, `arena` and `layout`.
@safe final class ChildProcess {
  /// What it is started with, beside the plugin.
  struct Start {
    let program: String
    let bounds: IsolationBounds
    let isUntrusted: Bool
    /// Names and values, each with its NUL.
    let settings: [UInt8]
    let hostName: String
    let hostVersion: String
    /// From the system's clock to the host's; nil: the host's is virtual.
    let clockOffset: Int64?
  }

  /// How it ended.
  struct End {
    /// -1: by `signal`.
    var code: Int32 = 0
    var signal: Int32 = 0

    var words: String {
      if code >= 0 { return "its process exited with \(code)" }
      let name = unsafe strsignal(signal).map { unsafe String(cString: $0) } ?? "unknown"
      return "its process was ended by signal \(signal) (\(name))"
    }
  }

  /// What libraries may take of memory that counts as shared.
  private static let libraryBytes: UInt64 = 64 << 20

  let layout: millrace_isolation_layout
  let regionBytes: UInt64
  let slots: Int
  // unsafe: mapped in `init`, unmapped in `deinit`; the arena for reading only.
  let page: UnsafeMutableRawPointer
  let arena: UnsafeRawPointer
  let process: pid_t
  /// Of the process; can be read once it has ended.
  let handle: Int32
  /// Rung by the child.
  let bell: Int32
  private let pageFile: Int32
  private let arenaFile: Int32
  private var isReaped = false

  /// Starts it. Throws `noProcess`.
  init(_ start: Start, plugin: borrowing PrivateCopy, path: String) throws(PluginError) {
    let bounds = start.bounds
    slots = bounds.slots
    regionBytes = millrace_isolation_up(UInt64(bounds.attemptBytes))
    layout = millrace_isolation_lay(UInt32(bounds.slots), regionBytes)
    var held = Descriptors()
    func failed(_ what: String) -> PluginError {
      let reason = errorText()
      held.close()
      return .noProcess(path: path, reason: "\(what): \(reason)")
    }
    pageFile = held.keep(unsafe millrace_shared_memory("millrace-page", layout.page_bytes))
    arenaFile = held.keep(unsafe millrace_shared_memory("millrace-arena", layout.arena_bytes))
    bell = held.keep(millrace_alarm())
    guard pageFile >= 0, arenaFile >= 0, bell >= 0 else { throw failed("no memory that both share") }
    let reader = held.keep(millrace_shared_reader(pageFile))
    let null = held.keep(unsafe open("/dev/null", O_RDWR | O_CLOEXEC))
    guard reader >= 0, null >= 0 else { throw failed("/proc or /dev is not there") }
    guard let page = unsafe millrace_shared_map(pageFile, layout.page_bytes, 1) else {
      throw failed("no room for the memory that both share")
    }
    guard let arena = unsafe millrace_shared_map(arenaFile, layout.arena_bytes, 0) else {
      let error = failed("no room for the memory that both share")
      unsafe millrace_shared_unmap(page, layout.page_bytes)
      throw error
    }
    unsafe (self.page, self.arena) = unsafe (page, UnsafeRawPointer(arena))
    unsafe Self.fill(page, layout, start)

    // What becomes of 0 to 6. All of them lie above, so that none is overwritten before it is copied.
    let error: Int32 = start.isUntrusted ? null : 2
    var wanted = [null, null, error, reader, arenaFile, bell, plugin.descriptor]
    for index in wanted.indices where wanted[index] < Int32(MILLRACE_ISOLATION_DESCRIPTORS) {
      let copy = fcntl(wanted[index], F_DUPFD_CLOEXEC, Int32(MILLRACE_ISOLATION_DESCRIPTORS))
      wanted[index] = held.keepForStart(copy < 0 ? null : copy)
    }
    var child: pid_t = 0
    // What an untrusted one found in the environment could be anybody's secret.
    let failure = unsafe millrace_spawn_child(start.program, start.isUntrusted ? 1 : 0, wanted, &child)
    if failure != 0 {
      unsafe millrace_shared_unmap(page, layout.page_bytes)
      unsafe millrace_shared_unmap(UnsafeMutableRawPointer(mutating: arena), layout.arena_bytes)
      errno = failure
      throw failed("\(start.program) cannot be started")
    }
    process = child
    handle = millrace_process_open(child)
    held.closeStart(besides: [pageFile, arenaFile, bell])
    guard handle >= 0 else {
      // A kernel older than 5.3, or no descriptor: nobody could tell its end.
      _ = Glibc.kill(child, SIGKILL)
      var status: Int32 = 0
      _ = unsafe waitpid(child, &status, 0)
      isReaped = true
      throw .noProcess(path: path, reason: "its end could not be told: \(errorText())")
    }
  }

  deinit {
    if !isReaped { _ = end() }
    if handle >= 0 { close(handle) }
    close(bell)
    close(pageFile)
    close(arenaFile)
    unsafe millrace_shared_unmap(page, layout.page_bytes)
    unsafe millrace_shared_unmap(UnsafeMutableRawPointer(mutating: arena), layout.arena_bytes)
  }

  private static func fill(_ memory: UnsafeMutableRawPointer, _ layout: millrace_isolation_layout, _ start: Start) {
    let bounds = start.bounds
    // unsafe: as long as the layout says.
    let page = unsafe memory.assumingMemoryBound(to: millrace_isolation_page.self)
    unsafe page.pointee.version = MILLRACE_ISOLATION_VERSION
    unsafe page.pointee.slots = UInt32(bounds.slots)
    unsafe page.pointee.region_bytes = millrace_isolation_up(UInt64(bounds.attemptBytes))
    unsafe page.pointee.parent = UInt32(getpid())
    unsafe page.pointee.helpers = UInt32(bounds.helpers)
    unsafe page.pointee.untrusted = start.isUntrusted ? 1 : 0
    unsafe page.pointee.may_lack_landlock = bounds.allowWithoutLandlock ? 1 : 0
    unsafe page.pointee.memory_bytes = UInt64(bounds.memory)
    unsafe page.pointee.descriptors = UInt32(bounds.descriptors)
    unsafe page.pointee.spins = bounds.wait.spins
    unsafe page.pointee.setting_bytes = UInt32(start.settings.count)
    let libraries = bounds.libraries.flatMap { Array($0.utf8) + [UInt8(0)] }
    unsafe page.pointee.library_bytes = UInt32(libraries.count)
    unsafe page.pointee.is_virtual = start.clockOffset == nil ? 1 : 0
    unsafe page.pointee.clock_offset = start.clockOffset ?? 0
    unsafe page.pointee.sleeps = 1
    // unsafe: both have room for 63 bytes and a NUL, which is there.
    unsafe withUnsafeMutableBytes(of: &page.pointee.host_name) { unsafe $0.copyBytes(from: start.hostName.utf8.prefix(63)) }
    unsafe withUnsafeMutableBytes(of: &page.pointee.host_version) { unsafe $0.copyBytes(from: start.hostVersion.utf8.prefix(63)) }
    let texts = start.settings + libraries
    unsafe texts.withUnsafeBytes {
      unsafe (memory + Int(layout.settings)).copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(memory), byteCount: texts.count)
    }
  }

  /// nil: it goes on, or nobody knows (then it is as if it had exited).
  func ended(waits: Bool = false) -> End? {
    var end = End()
    switch unsafe millrace_process_reap(handle, waits ? 1 : 0, &end.code, &end.signal) {
    case 0: return nil
    case 1:
      isReaped = true
      return end
    default:
      // The program has told the kernel that it wants to know of no child's end.
      isReaped = true
      return End(code: 0)
    }
  }

  func kill() { _ = millrace_process_kill(handle) }

  /// Kills it, and waits for its end, which no signal can hold up.
  func end() -> End {
    kill()
    return ended(waits: true) ?? End()
  }

  /// Bytes of memory: its own, and what of the arena is not empty; nil: it has gone.
  var memory: (own: UInt64, arena: UInt64)? {
    let file = unsafe open("/proc/\(process)/statm", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var text = [UInt8](repeating: 0, count: 128)
    let count = unsafe read(file, &text, text.count)
    guard count > 0 else { return nil }
    let words = String(decoding: text[..<count], as: UTF8.self).split(separator: " ").compactMap { UInt64($0) }
    var (page, arena) = (stat(), stat())
    guard words.count > 2, unsafe fstat(pageFile, &page) == 0, unsafe fstat(arenaFile, &arena) == 0 else { return nil }
    let (pageBytes, arenaBytes) = (UInt64(page.st_blocks) * 512, UInt64(arena.st_blocks) * 512)
    let size = UInt64(getpagesize())
    // Memory that it shares with nobody but says it would is its own.
    let shared = min(words[2] * size, pageBytes + arenaBytes + Self.libraryBytes)
    return (words[1] * size - min(shared, words[1] * size), arenaBytes)
  }

  /// Gives the pages of a slot back that lie behind its first `kept` bytes.
  func drop(slot: Int, inputBytes: UInt64, outputBytes: UInt64, kept: UInt64) {
    let start = UInt64(slot) * regionBytes + kept
    if inputBytes > kept { _ = millrace_shared_drop(pageFile, layout.inputs + start, millrace_isolation_up(inputBytes - kept)) }
    if outputBytes > kept { _ = millrace_shared_drop(arenaFile, layout.outputs + start, millrace_isolation_up(outputBytes - kept)) }
  }

  /// Descriptors that are closed when something fails, and those that only the start needs.
  private struct Descriptors {
    private var all: [Int32] = []

    mutating func keep(_ descriptor: Int32) -> Int32 {
      if descriptor >= 0 { all.append(descriptor) }
      return descriptor
    }
    mutating func keepForStart(_ descriptor: Int32) -> Int32 { keep(descriptor) }
    mutating func close() {
      for one in Set(all) { _ = Glibc.close(one) }
      all = []
    }
    mutating func closeStart(besides kept: [Int32]) {
      for one in Set(all) where !kept.contains(one) { _ = Glibc.close(one) }
      all = []
    }
  }
}

extension IsolationBounds.Wait {
  /// Looks at a ring before a side sleeps.
  var spins: UInt32 {
    switch self {
    case .spin: .max
    case .adaptive: 1_000
    case .park: 0
    }
  }
}
