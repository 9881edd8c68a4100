#if Postgres
  import EventStoreConformance
  import Foundation
  import MillraceLog
  import MillracePostgres
  import Testing

  /// Parameters of TLS reach the connection, and a server that cannot prove who it is gets nothing.
  @Suite(.needsPostgres, .serialized) struct TLSTests {
    private static func certificate(_ name: String, in folder: String, host: String) throws {
      try PostgresServer.run(
        "/usr/bin/openssl",
        [
          "req", "-new", "-x509", "-days", "2", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=\(host)", "-addext",
          "subjectAltName=DNS:\(host)",
          "-keyout", "\(folder)/\(name).key", "-out", "\(folder)/\(name).crt",
        ])
    }

    /// A port that nobody has now.
    private static func freePort() throws -> UInt16 {
      let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      defer { close(descriptor) }
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
      var length = socklen_t(MemoryLayout<sockaddr_in>.size)
      let code = unsafe withUnsafeMutablePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          unsafe bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
        }
      }
      guard code else { throw Failed("no free port: errno \(errno)") }
      return UInt16(bigEndian: address.sin_port)
    }

    /// A server with a certificate of its own for `localhost`, and its port. Again if somebody else was faster.
    private static func start() throws -> (server: PostgresServer, port: UInt16) {
      var failure: any Error = Failed("never tried")
      for _ in 0..<5 {
        let port = try freePort()
        do {
          let server = try PostgresServer(
            settings: [
              "listen_addresses = '127.0.0.1'", "port = \(port)", "ssl = on", "ssl_cert_file = 'server.crt'", "ssl_key_file = 'server.key'",
            ], access: "local all all trust\nhostssl all all 127.0.0.1/32 trust\n"
          ) { folder in
            try certificate("server", in: folder + "/data", host: "localhost")
            try certificate("other", in: folder + "/data", host: "localhost")
            if getuid() == 0 {
              try PostgresServer.run("/bin/chown", ["postgres", "\(folder)/data/server.key", "\(folder)/data/server.crt"])
            }
          }
          return (server, port)
        } catch { failure = error }
      }
      throw failure
    }

    @Test("a server is believed by its own certificate only, under its own name")
    func certificates() async throws {
      let (server, port) = try Self.start()
      func open(_ host: String, _ parameters: String) throws -> PostgresEventStore {
        try PostgresEventStore(
          try PostgresConfiguration("host=\(host) hostaddr=127.0.0.1 port=\(port) user=postgres dbname=postgres \(parameters)"))
      }
      let trusted = "\(server.folder)/data/server.crt"
      let store = try open("localhost", "sslmode=verify-full sslrootcert=\(trusted)")
      try await store.append(try StreamName("a"), [.numbered(1)])
      #expect(try await store.readAll(.all).numbers == [1])
      try await store.close()
      let wrong: [(host: String, parameters: String, word: String)] = [
        ("localhost", "sslmode=verify-full sslrootcert=\(server.folder)/data/other.crt", "certificate"),
        ("elsewhere", "sslmode=verify-full sslrootcert=\(trusted)", "host name"),
        ("localhost", "sslmode=verify-full sslrootcert=\(server.folder)/none.crt", "none.crt"),
        ("localhost", "sslmode=disable", "pg_hba.conf"),
      ]
      for (host, parameters, word) in wrong {
        let error = #expect(throws: EventStoreError.self) { try open(host, parameters) }
        #expect(error?.description.contains(word) == true, "\(parameters): \(String(describing: error))")
      }
    }

    @Test("a server without TLS is refused where it is demanded")
    func demanded() throws {
      let port = try Self.freePort()
      let server = try PostgresServer(
        settings: ["listen_addresses = '127.0.0.1'", "port = \(port)"], access: "local all all trust\nhost all all 127.0.0.1/32 trust\n")
      let error = #expect(throws: EventStoreError.self) {
        try PostgresEventStore(try PostgresConfiguration("host=127.0.0.1 port=\(port) user=postgres dbname=postgres sslmode=require"))
      }
      #expect(error?.description.contains("SSL") == true, "\(String(describing: error)) \(server.folder)")
    }
  }
#endif
