internal import CMillrace
internal import Glibc
internal import MillraceCore

/// Keeps the next segment's file ready, so that a commit need not make one: its room is taken and written by a thread of its own.
///
/// # Threads
/// `take` and `prepare` by the committer, `recycle` by whoever retires segments, `stop` by the log's owner.
final class SegmentSupply: @unchecked Sendable {
  /// The file that is ready. One that a killed process left is used as it is: its bytes never pass for this log's.
  static let name = "next"

  private let storage: any LogStorage
  private let bytes: Int
  private let monitor = Monitor()
  private var ready: (any LogFile)?
  private var error: StorageError?
  private var isStopped = false
  /// Somebody is at work on the file called `name`.
  private var isMaking = false
  private var isRunning = false
  private let hasThread: Bool
  private var thread = pthread_t()

  /// The thread starts with the first `prepare`. Without one, `take` makes the file.
  init(_ storage: any LogStorage, bytes: Int, hasThread: Bool) {
    self.storage = storage
    self.bytes = bytes
    self.hasThread = hasThread
  }

  deinit { monitor.deallocate() }

  /// Begins to make the next file, unless there is one. After an error: tries again.
  func prepare() throws(StorageError) {
    if !hasThread { return }
    let code: Int32 = monitor.locked {
      error = nil
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
      let goOn = monitor.locked {
        while !isStopped, ready != nil || error != nil || isMaking { monitor.wait(.work) }
        isMaking = !isStopped
        return isMaking
      }
      guard goOn else { return }
      let result = make()
      monitor.locked {
        isMaking = false
        switch result {
        case .success(let file): ready = file
        case .failure(let failure): error = failure
        }
        monitor.broadcast(.ended)
      }
    }
  }

  private func make() -> Result<any LogFile, StorageError> {
    do throws(StorageError) {
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

  /// The file, called `name` still; waits for it. Throws why it could not be made: then `prepare` tries again.
  func take() throws(StorageError) -> any LogFile {
    if !hasThread { return try make().get() }
    return try monitor.locked { () throws(StorageError) in
      while true {
        if let file = ready {
          ready = nil
          return file
        }
        if let error { throw error }
        monitor.wait(.ended)
      }
    }
  }

  /// Makes a segment's file, which nobody needs any more, the next one. False: there is one, the caller removes it.
  func recycle(_ name: String) throws(StorageError) -> Bool {
    let isWanted = monitor.locked {
      if ready != nil || isMaking || isStopped { return false }
      isMaking = true
      return true
    }
    guard isWanted else { return false }
    var file: (any LogFile)?
    defer {
      monitor.locked {
        isMaking = false
        ready = file
        monitor.broadcast(.work)
        monitor.broadcast(.ended)
      }
    }
    let old = try storage.open(name, writing: true)
    guard old.bytes == bytes else { return false }
    try storage.rename(name, to: Self.name)
    file = old
    return true
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
