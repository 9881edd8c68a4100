import Foundation
import MillraceFaults
import Testing

/// A program in Swift makes its calls through libc as any other.
@Suite struct SwiftProgramTests {
  static let source = """
    import Glibc

    let directory = CommandLine.arguments[1]
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 4096)
    buffer.copyBytes(from: [UInt8](repeating: 7, count: 4096))
    func must(_ result: some BinaryInteger) -> Int32 {
      guard result >= 0 else { fatalError(String(cString: strerror(errno))) }
      return Int32(result)
    }
    let folder = must(open(directory, O_RDONLY | O_DIRECTORY))
    #if arch(arm64)
      let direct: Int32 = 0o200000
    #else
      let direct: Int32 = 0o40000
    #endif
    let log = must(open(directory + "/log", O_RDWR | O_CREAT | direct | O_DSYNC, 0o644))
    _ = must(-posix_fallocate(log, 0, 8192))
    _ = must(fsync(log))
    _ = must(fsync(folder))
    for number in 0..<2 {
      _ = must(pwrite(log, buffer.baseAddress!, 4096, off_t(number) * 4096))
      print("acknowledged \\(number)")
    }
    _ = must(pread(log, buffer.baseAddress!, 4096, 0))
    _ = must(ftruncate(log, 4096))
    _ = must(fdatasync(log))
    _ = must(mkdir(directory + "/old", 0o755))
    _ = must(rename(directory + "/log", directory + "/old/log"))
    _ = must(unlink(directory + "/old/log"))
    """

  static let compiler = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { $0 + "/swiftc" }
    .first { FileManager.default.isExecutableFile(atPath: $0) }

  @Test("a Swift program is reached, with the dynamic and with the static standard library", arguments: [[], ["-static-stdlib"]])
  func reached(options: [String]) throws {
    let scratch = try Scratch()
    try Data(Self.source.utf8).write(to: URL(filePath: scratch.path + "/main.swift"))
    let build = Process()
    build.executableURL = URL(filePath: try #require(Self.compiler, "no swiftc in PATH"))
    build.arguments = options + ["-o", scratch.path + "/program", scratch.path + "/main.swift"]
    try build.run()
    build.waitUntilExit()
    #expect(build.terminationStatus == 0)

    let directory = try scratch.directory()
    var program = FaultedProgram(scratch.path + "/program", [directory], directory: directory)
    program.fault = "write:100:EIO"
    program.records = true
    let ending = try program.run()
    #expect(ending.exit == 0, "\(ending.errors)")
    #expect(
      ending.report.calls == [
        "open": 2, "read": 1, "write": 2, "sync": 2, "dirsync": 1, "allocate": 2, "rename": 1, "unlink": 1, "link": 0, "mkdir": 1,
      ])
    let trace = try #require(ending.trace)
    // What it prints comes when libc's buffer is full or at the end; it is not said before.
    #expect(trace.unseen.isEmpty && trace.marks(before: trace.records.count) == ["acknowledged 0", "acknowledged 1"])

    program.fault = "pwrite:2:kill"
    let killed = try program.start().wait()
    #expect(killed.exit == -SIGKILL && killed.report.injected.count == 1)
  }

  static let classes = [
    "pwrite64": "write", "fdatasync": "sync", "fallocate": "allocate", "ftruncate": "allocate", "renameat": "rename", "renameat2": "rename",
  ]

  @Test("what the tools see of a program is what the kernel sees", arguments: [["6"], ["6", "direct", "threads"]])
  func complete(words: [String]) throws {
    let scratch = try Scratch()
    let directory = try scratch.directory()
    var program = FaultedProgram(
      "/usr/bin/strace",
      ["-f", "-y", "-qq", "-e", "signal=none", "-o", scratch.path + "/calls", try FaultTools.victim(), directory] + words,
      directory: directory)
    program.fault = "write:100:EIO"
    let ending = try program.run()
    #expect(ending.exit == 0, "\(ending.errors)")
    var kernel: [String: Int] = [:]
    for line in try String(contentsOfFile: scratch.path + "/calls", encoding: .utf8).split(separator: "\n") where line.contains(directory) {
      // `123 pwrite64(5</tmp/.../log.1>, ...`
      let call = String(line.drop { $0.isNumber || $0 == " " }.prefix { $0 != "(" })
      kernel[Self.classes[call] ?? call, default: 0] += 1
    }
    // The tools look at files too: only what changes them is compared.
    for name in ["write", "sync", "allocate", "rename"] { #expect(kernel[name, default: 0] == ending.report.calls[name], "\(name)") }
    #expect(kernel["fsync"] == ending.report.calls["dirsync"])
  }
}
