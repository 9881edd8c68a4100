#if MODEL_CHECK
  import Glibc

  @testable import MillraceCore

  /// Whoever decides when a thread of a test may go on. Threads without one run freely.
  class Controller {
    /// Before each operation of `thread` on a shared word.
    func step(_ thread: Int) {}
    /// The thread cannot go on before another one has done something.
    func wait(_ thread: Int) {}
  }

  /// Ties threads to controllers, by a key of the thread library.
  enum Controlled {
    private final class Entry {
      let controller: Controller
      let thread: Int
      init(_ controller: Controller, _ thread: Int) {
        self.controller = controller
        self.thread = thread
      }
    }

    private static let key: pthread_key_t = {
      var key = pthread_key_t()
      precondition(unsafe pthread_key_create(&key, nil) == 0)
      return key
    }()

    private nonisolated static func current() -> Entry? {
      // unsafe: set by `run`, which keeps the entry alive.
      guard let entry = unsafe pthread_getspecific(key) else { return nil }
      return unsafe Unmanaged<Entry>.fromOpaque(entry).takeUnretainedValue()
    }

    private static let installed: Void = {
      _ = key
      unsafe ModelCheck.waitHook = {
        if let entry = Controlled.current() { entry.controller.wait(entry.thread) } else { sched_yield() }
      }
      unsafe ModelCheck.hook = {
        if let entry = Controlled.current() { entry.controller.step(entry.thread) }
      }
    }()

    /// Before any thread that shall be controlled starts.
    static func install() { installed }

    /// Runs `body` on this thread, as thread number `thread` of the controller.
    static func run(_ controller: Controller, _ thread: Int, _ body: () -> Void) {
      let entry = Entry(controller, thread)
      unsafe pthread_setspecific(key, Unmanaged.passUnretained(entry).toOpaque())
      body()
      withExtendedLifetime(entry) { _ = pthread_setspecific(key, nil) }
    }
  }

  /// A counting semaphore.
  @safe final class Turnstile: @unchecked Sendable {
    // unsafe: freed by deinit, when nobody waits.
    private let gate: UnsafeMutablePointer<sem_t>

    init() {
      unsafe gate = .allocate(capacity: 1)
      precondition(unsafe sem_init(gate, 0, 0) == 0)
    }

    deinit {
      unsafe sem_destroy(gate)
      unsafe gate.deallocate()
    }

    func open() { unsafe sem_post(gate) }
    func pass() {
      while unsafe sem_wait(gate) != 0 {}
    }
  }
#endif
