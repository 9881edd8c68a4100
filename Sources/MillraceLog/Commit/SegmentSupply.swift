internal import CMillrace
internal import Glibc
internal import MillraceCore

/// Keeps the next segment's file ready, so that a commit need not make one: its room is taken and written by a thread of its own, in small pieces and no faster
/// than the segment at hand fills, since a commit waits for all that is on its way to the disk.
///
/// # Threads
/// `take`, `prepare`, `used` and `wake` by the committer, `stop` by the log's owner.
final class SegmentSupply: @unchecked Sendable {
  /// The file that is ready. One that a killed process left is used as it is: its bytes never pass for this log's.
  static let name = "next"
  /// The file while it is written. One that a killed process left goes.
  static let unfinished = "filling"

  private let storage: any LogStorage
  /// Of a file at most.
  private let mostBytes: Int
  /// Of the next one.
  private var bytes: Int
  private let monitor = Monitor()

  private enum State {
    /// Whoever took the last one has not given it its own name yet, or nobody has asked.
    case none
    /// The thread is to make one, or does.
    case wanted
    case ready(any LogFile)
    case failed(StorageError)
  }
  private var state = State.none
  private var isStopped = false
  /// Somebody waits for the file: it is made as fast as can be.
  private var isHurried = false
  /// Bytes of the next file that may be written.
  private var allowed = 0
  /// How far the segment at hand is used when more is allowed. The committer's.
  private var nextNotice = 0
  /// There may be something to do besides, for `chores`.
  private var isWoken = false
  /// Done by the thread before it makes a file, and when woken.
  private let chores: () -> Void
  private var isRunning = false
  private let hasThread: Bool
  private var thread = pthread_t()

  /// The thread starts with the first `prepare`. Without one, `take` makes the file.
  init(_ storage: any LogStorage, bytes: Int, hasThread: Bool, chores: @escaping () -> Void) {
    self.storage = storage
    mostBytes = bytes
    self.bytes = bytes
    self.hasThread = hasThread
    self.chores = chores
  }

  deinit { monitor.deallocate() }

  /// Begins to make the next file, unless there is one. After an error: tries again. The one that was taken before has its own name now.
  ///
  /// - Parameter whole: bytes of the segment at hand. The next one is twice as long at most: so there is time to write it before it is needed.
  func prepare(after whole: Int) throws(StorageError) {
    if !hasThread {
      bytes = min(mostBytes, 2 * whole)
      return
    }
    let code: Int32 = monitor.locked {
      switch state {
      case .none, .failed:
        state = .wanted
        bytes = min(mostBytes, 2 * whole)
        allowed = Self.pace(0, of: 1, bytes)
        nextNotice = 0
      case .wanted, .ready: break
      }
      if isRunning {
        monitor.signal(.work)
        return 0
      }
      // Safe: `stop` joins the thread before this object goes.
      let code = unsafe pthread_create(&thread, nil, Self.body, Unmanaged.passUnretained(self).toOpaque())
      isRunning = code == 0
      return code
    }
    if code != 0 { throw .of("pthread_create", "", code) }
  }

  private static let body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
    // Safe: `prepare` hands over the object, which `stop` keeps alive until here has ended.
    let supply = unsafe Unmanaged<SegmentSupply>.fromOpaque(context!).takeUnretainedValue()
    supply.work()
    return nil
  }

  private func work() {
    while true {
      let isWanted: Bool? = monitor.locked {
        while !isStopped, !isWoken, !self.isWanted { monitor.wait(.work) }
        if isStopped { return nil }
        // A segment has begun: the chores are done at the first pause in making the next file, which may take as long as the segment.
        isWoken = self.isWanted
        return self.isWanted
      }
      guard let isWanted else { return }
      if isWanted {
        let made = make()
        monitor.locked {
          state =
            switch made {
            case .success(let file): .ready(file)
            case .failure(let error): .failed(error)
            }
          monitor.broadcast(.ended)
        }
      }
      chores()
    }
  }

  private var isWanted: Bool { if case .wanted = state { true } else { false } }

  /// The segment at hand is used so far.
  @inline(__always) func used(_ used: Int, of whole: Int) { if used >= nextNotice { notice(used, of: whole) } }

  private func notice(_ used: Int, of whole: Int) {
    nextNotice = used + whole / 64
    monitor.locked {
      guard case .wanted = state else { return }
      allowed = Self.pace(used, of: whole, bytes)
      monitor.signal(.work)
    }
  }

  /// Bytes of the next file that are to be there when so much of the segment at hand is used: all of them well before its end.
  private static func pace(_ used: Int, of whole: Int, _ bytes: Int) -> Int {
    Int(Double(bytes) * (1.0 / 16 + 1.5 * Double(used) / Double(whole)))
  }

  /// Pieces that are written at once: on the way, and when somebody waits.
  private static let piece = 256 << 10
  private static let largePiece = 1 << 20

  /// Waits until more than `done` bytes may be written, and tells how many. 0: no file is wanted any more.
  private func goesOn(_ done: Int) -> Int {
    while true {
      let next: Int? = monitor.locked {
        while !isStopped, !isHurried, !isWoken, done >= allowed { monitor.wait(.work) }
        if isStopped { return 0 }
        if isHurried { return Self.largePiece }
        if done < allowed { return Self.piece }
        isWoken = false
        return nil
      }
      if let next { return next }
      chores()
    }
  }

  /// There is something to do for `chores`.
  func wake() {
    monitor.locked {
      isWoken = true
      monitor.signal(.work)
    }
  }

  private func make() -> Result<any LogFile, StorageError> {
    do throws(StorageError) {
      // A retired segment becomes the next one. What a killed process left is used, too.
      if try !storage.names().contains(Self.name), try storage.names().contains(Retirement.spare) {
        try storage.rename(Retirement.spare, to: Self.name)
      }
      if try storage.names().contains(Self.name) {
        let file = try storage.open(Self.name, writing: true)
        if file.bytes == bytes { return .success(file) }
        try storage.remove(Self.name)
      }
      if try storage.names().contains(Self.unfinished) { try storage.remove(Self.unfinished) }
      let file = try storage.create(Self.unfinished, bytes: bytes) { done in hasThread ? goesOn(done) : Self.largePiece }
      try storage.rename(Self.unfinished, to: Self.name)
      return .success(file)
    } catch {
      return .failure(error)
    }
  }

  /// The file, called `name` still; waits for it. Give it a name of its own, then call `prepare`. Throws why it could not be made: then `prepare` tries again.
  func take() throws(StorageError) -> any LogFile {
    if !hasThread { return try make().get() }
    return try monitor.locked { () throws(StorageError) in
      defer { isHurried = false }
      while true {
        switch state {
        case .none: preconditionFailure("invariant broken: a file is taken that nobody has asked for")
        case .wanted:
          isHurried = true
          monitor.signal(.work)
          monitor.wait(.ended)
        case .ready(let file):
          state = .none
          return file
        case .failed(let error): throw error
        }
      }
    }
  }

  func stop() {
    let isRunning = monitor.locked {
      isStopped = true
      monitor.broadcast(.work)
      return self.isRunning
    }
    if isRunning { pthread_join(thread, nil) }
    self.isRunning = false
  }
}
