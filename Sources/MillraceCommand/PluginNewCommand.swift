internal import ArgumentParser
internal import CPluginCheck
internal import Glibc
internal import Millrace

struct PluginNewCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "new",
    abstract: "Begins a plugin: a project that builds and passes its own test.",
    discussion: """
      Examples:
        millrace plugin new mine --lang c
        millrace plugin new mine --lang swift --millrace ../millrace
        cd mine && make test

      Writes the directory NAME, with a plugin of one handler, a test that calls it as a host does, and a Makefile:
      `make` builds it, `make test` runs the test and `millrace plugin check`. `millrace/plugin.h` is in it. Nothing that
      is there is written over: either all files are written, or none.
      """)

  enum Language: String, ExpressibleByArgument, CaseIterable {
    case c, cpp, swift, rust
  }

  @Argument(help: "Of the plugin and its directory: [a-z0-9-]{1,127}.")
  var name: String

  @Option(name: .customLong("lang"), help: "What it is written in.")
  var language: Language

  @Option(
    help: ArgumentHelp(
      "For Swift, whose plugins are built with MillracePluginKit: a directory with Millrace's package, or its URL.", valueName: "path"),
    completion: .directory)
  var millrace: String?

  func validate() throws {
    let isAllowed = name.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): true
      default: false
      }
    }
    guard isAllowed, (1...127).contains(name.utf8.count) else {
      throw ValidationError("'\(name)' is no name of a plugin: write [a-z0-9-]{1,127}")
    }
    if language == .swift, millrace == nil {
      throw ValidationError("--lang swift needs --millrace: a directory with Millrace's package, or its URL")
    }
    if language != .swift, millrace != nil { throw ValidationError("--millrace is for --lang swift; the others have all they need") }
  }

  func run() throws {
    let target = FilePath.here + "/" + name
    var status = stat()
    // The struct outlives the call. Here a rename would replace an empty directory.
    guard unsafe lstat(target, &status) != 0 else {
      throw Refusal(.wrongUse, "\(name) is there already: choose another name, or remove it")
    }
    let dependency = try dependency()
    let scratch = try Scratch(in: FilePath.here)
    let project = scratch.path + "/" + name
    try directory(project)
    var index = 0
    while let file = unsafe plugin_template_at(index) {
      index += 1
      let of = unsafe String(cString: file.pointee.language)
      guard of == "*" || of == language.rawValue else { continue }
      // Constants of the command.
      let text = unsafe String(decoding: UnsafeRawBufferPointer(start: file.pointee.text, count: file.pointee.length), as: UTF8.self)
      try write(unsafe String(cString: file.pointee.path), in: project, filled(text, dependency))
    }
    // What has come meanwhile is not replaced, unless it is an empty directory.
    guard unsafe rename(project, target) == 0 else { throw refusal(target) }
    try Output.result("\(name): written; `cd \(name) && make test` builds and checks it\n")
  }

  /// The package's dependency, as a manifest says it.
  private func dependency() throws(Refusal) -> String {
    guard let millrace else { return "" }
    if millrace.contains("://") || millrace.hasPrefix("git@") {
      return ".package(url: \(JSON.quoted(millrace)), from: \"\(Engine.version)\")"
    }
    // Freed below; the path ends with a NUL.
    guard let real = unsafe realpath(millrace, nil) else { throw Refusal(.wrongUse, "--millrace \(millrace): \(Output.reason(errno))") }
    defer { unsafe free(real) }
    let path = unsafe String(cString: real)
    guard unsafe access(path + "/Package.swift", R_OK) == 0 else {
      throw Refusal(.wrongUse, "--millrace \(millrace): there is no Package.swift in it: name the directory of Millrace's package")
    }
    return ".package(name: \"millrace\", path: \(JSON.quoted(path)))"
  }

  private func filled(_ text: String, _ dependency: String) -> String {
    var rest = text[...]
    var result = ""
    while let at = rest.firstIndex(of: "@") {
      result += rest[..<at]
      rest = rest[at...]
      if rest.hasPrefix("@NAME@") {
        result += name
        rest = rest.dropFirst(6)
      } else if rest.hasPrefix("@MILLRACE@") {
        result += dependency
        rest = rest.dropFirst(10)
      } else {
        result += "@"
        rest = rest.dropFirst()
      }
    }
    return result + rest
  }

  private func directory(_ path: String) throws(Refusal) {
    guard unsafe mkdir(path, 0o777) == 0 || errno == EEXIST else { throw refusal(path) }
  }

  private func write(_ path: String, in project: String, _ text: String) throws(Refusal) {
    var folder = project
    for part in path.split(separator: "/").dropLast() {
      folder += "/" + part
      try directory(folder)
    }
    let descriptor = unsafe open(project + "/" + path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw refusal(path) }
    let code = Output.write(text, to: descriptor)
    guard close(descriptor) == 0, code == 0 else {
      throw Refusal(.tryAgain, "\(path) cannot be written: \(Output.reason(code == 0 ? errno : code))")
    }
  }

  private func refusal(_ path: String) -> Refusal { Refusal(.tryAgain, "\(path) cannot be written: \(Output.reason(errno))") }
}
