import Glibc
import MillraceSimulation
import Synchronization

/// Ends with 0: nothing was lost; 1: with the seed that shows it again; 64: wrong use.
nonisolated func crashes(_ words: [String]) -> Int32 {
  let numbers = words.compactMap(UInt64.init)
  guard numbers.count == words.count, 1...2 ~= numbers.count, numbers[0] > 0 else {
    print("usage: LogCrashes IMAGES [FIRST-SEED]")
    return 64
  }
  for fault in SimulatedDisk.Fault.allCases {
    let crew = Crew(fault, images: Int(numbers[0]), firstSeed: numbers.count > 1 ? numbers[1] : 0)
    let begin = clock()
    crew.run()
    let seconds = Double(clock() - begin) / 1_000_000
    if let violation = crew.violation {
      print("\(violation)")
      return 1
    }
    print(
      "\(fault): \(crew.images) images, \(crew.acknowledged) events acknowledged, 0 lost; \((seconds * 10).rounded() / 10) s of processor time"
    )
  }
  return 0
}

/// Trials of one fault on all processors; each has its seed.
final class Crew: Sendable {
  private struct Count {
    var images = 0
    var acknowledged = 0
    var violation: String?
  }

  private let fault: SimulatedDisk.Fault
  private let wanted: Int
  private let seed: Atomic<UInt64>
  private let count = Mutex(Count())

  init(_ fault: SimulatedDisk.Fault, images: Int, firstSeed: UInt64) {
    self.fault = fault
    wanted = images
    seed = Atomic(firstSeed)
  }

  var images: Int { count.withLock { $0.images } }
  var acknowledged: Int { count.withLock { $0.acknowledged } }
  var violation: String? { count.withLock { $0.violation } }

  func run() {
    var threads: [pthread_t] = []
    for _ in 0..<max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) {
      var thread = pthread_t()
      // Safe: this object outlives its threads, which are joined below.
      let code = unsafe pthread_create(&thread, nil, Self.body, Unmanaged.passUnretained(self).toOpaque())
      precondition(code == 0, "a thread can be made")
      threads.append(thread)
    }
    for thread in threads { pthread_join(thread, nil) }
  }

  private static let body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
    // Safe: `run` hands over the object, and keeps it.
    unsafe Unmanaged<Crew>.fromOpaque(context!)._withUnsafeGuaranteedRef { $0.work() }
    return nil
  }

  private func work() {
    while count.withLock({ $0.images < wanted && $0.violation == nil }) {
      var trial = CrashTrial(seed: seed.add(1, ordering: .relaxed).oldValue, fault: fault)
      do {
        let done = try trial.run(crashes: 4, images: 8)
        count.withLock {
          $0.images += done.images
          $0.acknowledged += done.acknowledged
        }
      } catch { count.withLock { $0.violation = "\(error)" } }
    }
  }
}
