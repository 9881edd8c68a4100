internal import CMillrace
internal import Glibc
internal import MillraceCore

/// Keeps the next segment's file ready, so that a commit need not make one: its room is taken and written by a thread of its own.
///
/// # Threads
/// `take`, `prepare` and `wake` by the committer, `stop` by the log's owner.
final class SegmentSupply: @unchecked Sendable {
  /// The file that is ready. One that a killed process left is used as it is: its bytes never pass for this log's.
  static let name = "next"

  private let storage: any LogStorage
  private let bytes: Int
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
    self.bytes = bytes
    self.hasThread = hasThread
    self.chores = chores
  }

  deinit { monitor.deallocate() }

  /// Begins to make the next file, unless there is one. After an error: tries again. The one that was taken before has its own name now.
  func prepare() throws(StorageError) {
    if !hasThread { return }
    let code: Int32 = monitor.locked {
      switch state {
      case .none, .failed: state = .wanted
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
        isWoken = false
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
      return .success(try storage.create(Self.name, bytes: bytes) { !monitor.locked { isStopped } })
    } catch {
      return .failure(error)
    }
  }

  /// The file, called `name` still; waits for it. Give it a name of its own, then call `prepare`. Throws why it could not be made: then `prepare` tries again.
  func take() throws(StorageError) -> any LogFile {
    if !hasThread { return try make().get() }
    return try monitor.locked { () throws(StorageError) in
      while true {
        switch state {
        case .none: preconditionFailure("invariant broken: a file is taken that nobody has asked for")
        case .wanted: monitor.wait(.ended)
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
