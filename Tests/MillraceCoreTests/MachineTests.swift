import Glibc
import Testing

@testable import MillraceCore

/// A made-up tree of /proc and /sys in a new folder.
@safe
private final class FileTree {
  let root: String
  private var files: [String] = []
  private var folders: [String] = []

  init(_ files: [String: String]) throws {
    root = try Self.makeFolder()
    folders.append(root)
    for (path, text) in files {
      var folder = root
      for part in path.split(separator: "/").dropLast() {
        folder += "/" + part
        if unsafe mkdir(folder, 0o700) == 0 { folders.append(folder) }
      }
      let file = unsafe open(root + path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
      let bytes = Array(text.utf8)
      try #require(file >= 0)
      let written = unsafe write(file, bytes, bytes.count)
      try #require(written == bytes.count)
      close(file)
      self.files.append(root + path)
    }
  }

  private static func makeFolder() throws -> String {
    var template = Array("/tmp/millrace-machine-XXXXXX".utf8CString)
    let made: String? = unsafe template.withUnsafeMutableBufferPointer { buffer in
      guard let name = unsafe mkdtemp(buffer.baseAddress!) else { return nil }
      return unsafe String(cString: name)
    }
    return try #require(made)
  }

  deinit {
    for file in files { unsafe _ = unlink(file) }
    for folder in folders.sorted(by: >) { unsafe _ = rmdir(folder) }
  }
}

@Suite struct MachineTests {
  private static let unified = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"

  private func machine(_ files: [String: String]) throws -> Machine {
    let tree = try FileTree(files)
    return withExtendedLifetime(tree) { Machine.read(root: tree.root) }
  }

  @Test("version 2: the smallest grant on the path from the group up to the root counts")
  func unified() throws {
    let machine = try machine([
      "/proc/self/mountinfo": "22 1 8:1 / / rw - ext4 /dev/sda rw\n" + Self.unified,
      "/proc/self/cgroup": "0::/slice/service\n",
      "/sys/fs/cgroup/slice/service/cpu.max": "max 100000\n",
      "/sys/fs/cgroup/slice/cpu.max": "150000 100000\n",
      "/sys/fs/cgroup/cpu.max": "800000 100000\n",
      "/sys/fs/cgroup/slice/service/memory.max": "1073741824\n",
      "/sys/fs/cgroup/slice/memory.max": "max\n",
    ])
    #expect(machine.quotaCPUs == 1.5)
    #expect(machine.memoryQuota == 1 << 30)
    #expect(machine.memoryLimit == min(1 << 30, machine.physicalMemory))
  }

  @Test("version 1: each controller has a tree of its own, which a container may see from its own group on")
  func separate() throws {
    let machine = try machine([
      "/proc/self/mountinfo": """
      40 30 0:31 /docker/abc /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
      41 30 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
      """,
      "/proc/self/cgroup": "4:memory:/jobs\n3:cpu,cpuacct:/docker/abc/inner\n0::/\n",
      "/sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_quota_us": "-1\n",
      "/sys/fs/cgroup/cpu,cpuacct/inner/cpu.cfs_period_us": "100000\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
      "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
      "/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes": "9223372036854771712\n",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes": "536870912\n",
    ])
    #expect(machine.quotaCPUs == 0.5)
    #expect(machine.cpusGranted == 1)
    #expect(machine.memoryQuota == 512 << 20)
  }

  @Test("granted processors: rounded up, at least one, at most those of the affinity")
  func granted() {
    var machine = Machine(
      affinityCPUs: 4, quotaCPUs: nil, physicalMemory: 1, memoryQuota: nil, pageBytes: 4_096, kernelRelease: "6")
    let cases: [(Double?, Int)] = [(nil, 4), (0.01, 1), (1, 1), (1.01, 2), (3.5, 4), (4, 4), (64, 4), (1e300, 4)]
    for (quota, granted) in cases {
      machine.quotaCPUs = quota
      #expect(machine.cpusGranted == granted, "quota \(String(describing: quota))")
    }
  }

  @Test("threads may spin that have a whole processor each; else `adaptive` is `park`, and `spin` is refused")
  func spinning() {
    var machine = Machine(affinityCPUs: 2, quotaCPUs: nil, physicalMemory: 1, memoryQuota: nil, pageBytes: 4_096, kernelRelease: "6")
    let cases: [(Double?, Int, Bool)] = [
      (nil, 1, true), (nil, 2, true), (nil, 3, false), (0.25, 1, false), (1, 1, true), (1.5, 1, true), (1.5, 2, false), (64, 2, true),
      (64, 3, false),
    ]
    for (quota, threads, may) in cases {
      machine.quotaCPUs = quota
      #expect(machine.maySpin(threads: threads) == may, "\(threads) threads, quota \(String(describing: quota))")
      #expect(WaitPolicy.adaptive.resolved(threads: threads, on: machine) == (may ? .adaptive : .park))
      #expect(WaitPolicy.spin.resolved(threads: threads, on: machine) == (may ? .spin : nil))
      #expect(WaitPolicy.park.resolved(threads: threads, on: machine) == .park)
    }
  }

  @Test("a runtime with more threads than processors parks, and refuses to spin with what is granted")
  func runtime() throws {
    let machine = Machine.read()
    let threads = min(machine.cpusGranted + 1, Parking.maxWorkers)
    try #require(!machine.maySpin(threads: threads))
    let runtime = unsafe try Runtime(RuntimeConfiguration(threads: threads, capacity: 100))
    #expect(runtime.configuration.wait == .park)
    let error = #expect(throws: RuntimeError.self) {
      unsafe try Runtime(RuntimeConfiguration(threads: threads, capacity: 100, wait: .spin))
    }
    #expect(error?.description.contains("use `adaptive` or `park`") == true)
  }

  @Test("queues hold by default what a quarter of the memory holds, within bounds")
  func room() {
    var machine = Machine(affinityCPUs: 2, quotaCPUs: nil, physicalMemory: 64 << 30, memoryQuota: nil, pageBytes: 4_096, kernelRelease: "6")
    #expect(machine.room(forEach: 128, most: 1 << 22) == 1 << 22)
    machine.memoryQuota = 512 << 20
    #expect(machine.room(forEach: 128, most: 1 << 22) == 1 << 20)
    #expect(machine.room(forEach: 512, most: 1 << 22) == 1 << 18)
    machine.memoryQuota = 1 << 16
    #expect(machine.room(forEach: 512, most: 1 << 22) == 1_024)
    machine.physicalMemory = 0
    #expect(machine.room(forEach: 512, most: 1 << 22) == 1_024)
  }

  @Test("missing, odd and damaged files count as no limit")
  func damaged() throws {
    #expect(try machine([:]).quotaCPUs == nil)
    let odd = try machine([
      "/proc/self/mountinfo": "nonsense\n- - - cgroup2\n30 24 0:26 / /sys/fs/cgroup rw - cgroup2\n" + Self.unified,
      "/proc/self/cgroup": "0::/../elsewhere\n::::\n\nx\n",
      "/sys/fs/cgroup/cpu.max": "100000 0\n",
      "/sys/fs/cgroup/memory.max": "-5\n",
    ])
    #expect(odd.quotaCPUs == nil)
    #expect(odd.memoryQuota == nil)
    let elsewhere = try machine([
      "/proc/self/mountinfo": Self.unified, "/proc/self/cgroup": "0::/../elsewhere\n", "/sys/fs/cgroup/cpu.max": "200000 100000\n",
    ])
    #expect(elsewhere.quotaCPUs == 2)
  }

  @Test("this machine: at least one processor, some memory, a page size and a kernel with a name")
  func real() {
    let machine = Machine.read()
    #expect(machine.affinityCPUs >= 1)
    #expect(machine.cpusGranted >= 1 && machine.cpusGranted <= machine.affinityCPUs)
    #expect(machine.memoryLimit > 1 << 20)
    #expect(machine.pageBytes >= 4_096)
    #expect(machine.kernelRelease.first?.isNumber == true)
  }
}
