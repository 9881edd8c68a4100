import Foundation
import MillraceCore
import Testing

@testable import MillraceBench

@Suite struct ResultsHostTests {
  /// A folder with files, removed with it.
  private final class Tree {
    let root = FileManager.default.temporaryDirectory.appending(path: "millrace-host-\(UUID().uuidString)")

    init(_ files: [String: String]) throws {
      for (path, text) in files {
        let file = root.appending(path: path)
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
      }
    }

    deinit {
      do { try FileManager.default.removeItem(at: root) } catch { Issue.record(error) }
    }
  }

  private let hash = "6d83c2269c37122a864226476ce1f6fcad994e08"

  @Test("the facts of a machine with version 2 of the control groups")
  func unified() throws {
    let tree = try Tree([
      "proc/cpuinfo": "processor\t: 0\nmodel name\t: Sample   CPU @ 2 GHz\nprocessor\t: 1\nmodel name\t: other\n",
      "proc/loadavg": "0.50 1.25 2.00 1/100 4242\n",
      "proc/self/mountinfo": "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
      "proc/self/cgroup": "0::/group\n",
      "sys/fs/cgroup/group/cpu.max": "25000 100000\n",
      "sys/fs/cgroup/group/memory.max": "536870912\n",
      "sys/fs/cgroup/group/cpu.stat": "usage_usec 9\nnr_periods 10\nnr_throttled 3\nthrottled_usec 1500\n",
      "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    ])
    var host = withExtendedLifetime(tree) { BenchHost.read(root: tree.root.path, folder: "/") }
    #expect(host.cpuModel == "Sample CPU @ 2 GHz")
    #expect(host.loadAverage == [0.5, 1.25, 2])
    #expect(host.clockSource == "tsc")
    #expect(host.cpusGranted == 1)
    #expect(host.cgroup.cpuMilli == 250)
    #expect(host.cgroup.memoryBytes == 512 << 20)
    #expect(host.cgroup.throttledPeriods == 3)
    #expect(host.cgroup.throttledNanoseconds == 1_500_000)
    #expect(host.commit == "unknown")
    let stat = tree.root.appending(path: "sys/fs/cgroup/group/cpu.stat")
    #expect(host.cgroup.periods == 10)
    try Data("nr_periods 14\nnr_throttled 5\nthrottled_usec 4000\n".utf8).write(to: stat)
    host.closeMeasurement(root: tree.root.path)
    #expect(host.cgroup.periods == 4)
    #expect(host.cgroup.throttledPeriods == 2)
    #expect(host.cgroup.throttledNanoseconds == 2_500_000)
  }

  @Test("version 1 counts throttled nanoseconds; of the groups on the path the most held back counts")
  func separate() throws {
    let tree = try Tree([
      "proc/self/mountinfo": "36 35 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n",
      "proc/self/cgroup": "4:cpu,cpuacct:/outer/inner\n",
      "sys/fs/cgroup/cpu/outer/cpu.cfs_quota_us": "150000\n",
      "sys/fs/cgroup/cpu/outer/cpu.cfs_period_us": "100000\n",
      "sys/fs/cgroup/cpu/outer/cpu.stat": "nr_periods 9\nnr_throttled 7\nthrottled_time 123456789\n",
      "sys/fs/cgroup/cpu/outer/inner/cpu.cfs_quota_us": "-1\n",
      "sys/fs/cgroup/cpu/outer/inner/cpu.cfs_period_us": "100000\n",
      "sys/fs/cgroup/cpu/outer/inner/cpu.stat": "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n",
    ])
    let throttling = withExtendedLifetime(tree) { Machine.throttling(root: tree.root.path) }
    #expect(throttling == Machine.Throttling(periods: 7, nanoseconds: 123_456_789, elapsed: 9))
  }

  @Test("what cannot be read is unknown, and stays so")
  func nothing() throws {
    let tree = try Tree(["proc/empty": ""])
    var host = withExtendedLifetime(tree) { BenchHost.read(root: tree.root.path) }
    #expect(host.cpuModel == "unknown")
    #expect(host.clockSource == "unknown")
    #expect(host.loadAverage.isEmpty)
    #expect(host.cgroup.cpuMilli == nil)
    #expect(host.cgroup.throttledPeriods == nil)
    host.closeMeasurement(root: tree.root.path)
    #expect(host.cgroup.throttledNanoseconds == nil)
  }

  @Test("this machine has facts, and a ping-pong where two processors are granted")
  func real() {
    let host = BenchHost.read()
    #expect(host.cpusOnline >= 1)
    #expect(host.loadAverage.count == 3)
    #expect(!host.kernel.isEmpty)
    // A round trip crosses no less than some nanoseconds; where the other processor is taken there is no figure.
    if let ping = host.pingPongNanoseconds { #expect(ping > 1) }
    if Machine.read().affinityCPUs == 1 { #expect(host.pingPongNanoseconds == nil) }
  }

  @Test("the commit is found through a branch, a packed branch, a second work tree, or none")
  func commits() throws {
    let tree = try Tree([
      "loose/.git/HEAD": "ref: refs/heads/main\n", "loose/.git/refs/heads/main": hash + "\n", "loose/a/b/c.txt": "",
      "packed/.git/HEAD": "ref: refs/heads/main\n",
      "packed/.git/packed-refs":
        "# pack-refs with: peeled\n\(String(repeating: "1", count: 40)) refs/heads/other\n\(hash) refs/heads/main\n",
      "detached/.git/HEAD": hash + "\n",
      "second/.git": "gitdir: ../loose/.git/worktrees/second\n",
      "loose/.git/worktrees/second/HEAD": "ref: refs/heads/main\n",
      "loose/.git/worktrees/second/commondir": "../..\n",
      "unborn/.git/HEAD": "ref: refs/heads/main\n",
      "outside/.git/HEAD": "ref: ../../../secret\n", "secret": hash,
      "circle/.git/HEAD": "ref: refs/heads/a\n", "circle/.git/refs/heads/a": "ref: refs/heads/a\n",
    ])
    let read = { (folder: String) in SourceCommit.read(from: tree.root.appending(path: folder).path) }
    for folder in ["loose", "loose/a/b", "packed", "detached", "second"] { #expect(read(folder) == hash, "\(folder)") }
    for folder in ["unborn", "outside", "circle"] { #expect(read(folder) == "unknown", "\(folder)") }
    #expect(SourceCommit.read(from: "/") == "unknown")
  }
}
