#if AMQP
  import Foundation
  import Glibc
  import Testing

  /// A real server of the tests' own: its own folder, its own ports on the loopback. It ends with the test's process, however that ends.
  ///
  /// # Threads
  /// Any: nothing of it changes.
  final class RabbitMQServer: @unchecked Sendable {
    private static let program = "/usr/lib/rabbitmq/bin/rabbitmq-server"
    /// One for all tests, which use names of their own.
    static let shared = Result { try RabbitMQServer() }
    static let isInstalled = FileManager.default.isExecutableFile(atPath: program)

    let port: Int
    private let folder: String
    private let keeper = Process()
    private let orders = Pipe()

    /// Returns when the server listens.
    init() throws {
      let ports = try RabbitMQServer.freePorts(3)
      port = ports[0]
      folder = NSTemporaryDirectory() + "millrace-rabbitmq-" + UUID().uuidString.prefix(8)
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      try Data("[].\n".utf8).write(to: URL(fileURLWithPath: folder + "/plugins"))
      let output = Pipe()
      // A shell ends what it started when our end of its input is closed. epmd is started by it, since one that the server starts would outlive that.
      keeper.executableURL = URL(fileURLWithPath: "/bin/sh")
      keeper.arguments = [
        "-c",
        """
        epmd -address 127.0.0.1 -port "$ERL_EPMD_PORT" >/dev/null 2>&1 & names=$!
        setsid \(RabbitMQServer.program) 2>&1 & server=$!
        read -r order
        kill -KILL -$server $names
        while pgrep -g $server -r R,S,D >/dev/null; do :; done
        rm -rf '\(folder)'
        """,
      ]
      keeper.currentDirectoryURL = URL(fileURLWithPath: folder)
      keeper.environment = RabbitMQServer.environment(folder, ports)
      keeper.standardInput = orders
      keeper.standardOutput = output
      keeper.standardError = FileHandle.nullDevice
      try keeper.run()
      var said = ""
      while !said.contains("Starting broker... completed") {
        let bytes = output.fileHandleForReading.availableData
        if bytes.isEmpty { throw Failed("rabbitmq-server has ended: \(said)") }
        said += String(decoding: bytes, as: UTF8.self)
        if said.contains("BOOT FAILED") { throw Failed("rabbitmq-server does not start: \(said)") }
      }
      // What it says later is not waited for.
      output.fileHandleForReading.readabilityHandler = { if $0.availableData.isEmpty { $0.readabilityHandler = nil } }
    }

    deinit {
      orders.fileHandleForWriting.closeFile()
      keeper.waitUntilExit()
    }

    private static func environment(_ folder: String, _ ports: [Int]) -> [String: String] {
      [
        "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin", "HOME": folder, "LANG": "C.UTF-8",
        "RABBITMQ_NODENAME": "mr\(ports[0])@localhost", "RABBITMQ_MNESIA_BASE": folder + "/mnesia", "RABBITMQ_LOG_BASE": folder + "/log",
        "RABBITMQ_ENABLED_PLUGINS_FILE": folder + "/plugins", "RABBITMQ_CONFIG_FILE": folder + "/rabbit",
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_NODE_PORT": "\(ports[0])", "RABBITMQ_DIST_PORT": "\(ports[1])",
        "ERL_EPMD_PORT": "\(ports[2])", "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
      ]
    }

    /// Ports that nobody listened on a moment ago.
    private static func freePorts(_ count: Int) throws -> [Int] {
      var sockets: [Int32] = []
      defer { for socket in sockets { close(socket) } }
      return try (0..<count).map { _ in
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        sockets.append(socket)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        // unsafe: the address is as long as is said.
        let code = unsafe withUnsafeMutablePointer(to: &address) {
          unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            unsafe bind(socket, $0, length) == 0 ? getsockname(socket, $0, &length) : -1
          }
        }
        guard code == 0 else { throw Failed("no port is free: errno \(errno)") }
        return Int(UInt16(bigEndian: address.sin_port))
      }
    }
  }

  struct Failed: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
  }

  extension Trait where Self == ConditionTrait {
    /// Where there is no server, there is nothing to be shown.
    static var needsRabbitMQ: Self { .enabled(if: RabbitMQServer.isInstalled, "skipped: no rabbitmq") }
  }
#endif
