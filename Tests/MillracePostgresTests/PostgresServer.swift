#if Postgres
  import Foundation
  import MillracePostgres
  import Synchronization
  import Testing

  /// A real server of a test's own: its own folder, a socket there, and no port unless asked for. It ends with the test's process, however that ends.
  final class PostgresServer: @unchecked Sendable {
    private static let programs = URL(fileURLWithPath: "/usr/lib/postgresql").appending(path: newest() ?? "none").appending(path: "bin")

    static let isInstalled = FileManager.default.isExecutableFile(atPath: program("postgres"))
    /// For whoever needs nothing special of it: stores have schemas of their own.
    static let shared = Result { try PostgresServer() }

    private static func newest() -> String? {
      let versions = try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib/postgresql")
      return versions?.max { (Int($0) ?? 0) < (Int($1) ?? 0) }
    }

    private static func program(_ name: String) -> String { programs.appending(path: name).path }

    let folder: String
    private let keeper = Process()
    private let orders = Pipe()
    private let answers = Pipe()
    private static let schemas = Atomic<Int>(0)

    /// A server that runs. `access`: pg_hba.conf. `settings`: of postgresql.conf.
    init(settings: [String] = [], access: String = "local all all trust\n", prepare: (String) throws -> Void = { _ in }) throws {
      folder = NSTemporaryDirectory() + "millrace-postgres-" + UUID().uuidString.prefix(8)
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      if getuid() == 0 { try Self.run("/bin/chown", ["postgres", folder]) }
      try Self.runAsServer(
        [Self.program("initdb"), "-D", folder + "/data", "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"])
      let all = [
        "listen_addresses = ''", "unix_socket_directories = '\(folder)'", "max_connections = 400", "log_min_messages = panic",
        "max_wal_size = 2GB",
      ]
      try Self.append((all + settings).joined(separator: "\n") + "\n", to: folder + "/data/postgresql.conf")
      try Data(access.utf8).write(to: URL(fileURLWithPath: folder + "/data/pg_hba.conf"))
      try prepare(folder)
      try keep()
    }

    deinit {
      orders.fileHandleForWriting.closeFile()
      keeper.waitUntilExit()
    }

    private static func append(_ text: String, to path: String) throws {
      let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
      try file.seekToEnd()
      try file.write(contentsOf: Data(text.utf8))
      try file.close()
    }

    /// A shell starts and stops the server at our word, and stops it and removes its folder when our end of its input is closed, however our process ends. Not we
    /// ourselves: what the server inherits from whoever starts it stays open, and `Process` would wait for that.
    ///
    /// `kill` is SIGKILL for the postmaster; its children, who see that it is gone, have ended when it is answered. It is halted before, so that none is born meanwhile.
    private func keep() throws {
      let control = Self.asServer([Self.program("pg_ctl"), "-D", folder + "/data"]).map { "'\($0)'" }.joined(separator: " ")
      let script = """
        while read -r order; do
          case $order in
          kill) main=$(head -n 1 '\(folder)/data/postmaster.pid') && kill -STOP "$main" && children=$(pgrep -P "$main") && kill -KILL "$main" &&
            for child in $main $children; do tail --pid="$child" -s 0.02 -f /dev/null; done && echo done || echo failed ;;
          start) \(control) start -w -l \(folder)/data/log </dev/null >/dev/null 2>&1 && echo done || echo failed ;;
          *) \(control) stop -w -m "$order" </dev/null >/dev/null 2>&1 && echo done || echo failed ;;
          esac
        done
        \(control) stop -m immediate >/dev/null 2>&1
        rm -rf '\(folder)'
        """
      keeper.executableURL = URL(fileURLWithPath: "/bin/sh")
      keeper.arguments = ["-c", script]
      keeper.currentDirectoryURL = URL(fileURLWithPath: "/")
      keeper.standardInput = orders
      keeper.standardOutput = answers
      keeper.standardError = FileHandle.nullDevice
      try keeper.run()
      try start()
    }

    func stop(_ mode: String = "immediate") throws { try order(mode) }
    func start() throws { try order("start") }

    private func order(_ order: String) throws {
      try orders.fileHandleForWriting.write(contentsOf: Data((order + "\n").utf8))
      let answer = answers.fileHandleForReading.availableData
      guard answer == Data("done\n".utf8) else { throw Failed("the server does not obey '\(order)': see \(folder)/data/log") }
    }

    /// `host`: where to connect instead of to the server itself.
    func connection(host: String? = nil, user: String = "postgres", database: String = "postgres") -> String {
      "host=\(host ?? folder) user=\(user) dbname=\(database)"
    }

    /// A schema that nobody else has.
    func configuration(host: String? = nil, schema: String? = nil) throws -> PostgresConfiguration {
      var configuration = try PostgresConfiguration(connection(host: host))
      configuration.schema = schema ?? "test_\(Self.schemas.add(1, ordering: .relaxed).newValue)"
      configuration.statementTimeout = .seconds(60)
      configuration.longestPause = .milliseconds(200)
      return configuration
    }

    /// What psql prints, without headings.
    @discardableResult func sql(_ text: String, database: String = "postgres") throws -> String {
      try Self.run(
        "/usr/bin/env", ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", connection(database: database), "-c", text])
    }

    /// The server refuses to run as root.
    private static func asServer(_ command: [String]) -> [String] {
      getuid() == 0 ? ["/usr/bin/setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"] + command : command
    }

    @discardableResult private static func runAsServer(_ command: [String]) throws -> String {
      let command = asServer(command)
      return try run(command[0], Array(command.dropFirst()))
    }

    /// What a program prints; an error if it fails.
    @discardableResult static func run(_ path: String, _ arguments: [String]) throws -> String {
      let process = Process()
      let output = Pipe()
      let errors = URL(fileURLWithPath: NSTemporaryDirectory() + "/millrace-errors-" + UUID().uuidString)
      _ = FileManager.default.createFile(atPath: errors.path, contents: nil)
      defer { try? FileManager.default.removeItem(at: errors) }
      process.executableURL = URL(fileURLWithPath: path)
      process.arguments = arguments
      process.currentDirectoryURL = URL(fileURLWithPath: "/")
      process.standardInput = FileHandle.nullDevice
      process.standardOutput = output
      process.standardError = try FileHandle(forWritingTo: errors)
      try process.run()
      let text = output.fileHandleForReading.readDataToEndOfFile()
      process.waitUntilExit()
      guard process.terminationStatus == 0 else {
        throw Failed("\(path) \(arguments.joined(separator: " ")): \(String(decoding: try Data(contentsOf: errors), as: UTF8.self))")
      }
      return String(decoding: text, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }
  }

  struct Failed: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
  }

  extension Trait where Self == ConditionTrait {
    /// Where there is no server, there is nothing to be shown.
    static var needsPostgres: Self { .enabled(if: PostgresServer.isInstalled, "skipped: no postgres") }
  }
#endif
