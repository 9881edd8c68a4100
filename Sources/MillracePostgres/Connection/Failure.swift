#if Postgres
  internal import MillraceLog

  /// What may come of a statement instead of its rows.
  enum Failure: Error {
    /// The server has answered with an error, and rolled the transaction back.
    case refused(code: String, text: String)
    /// The connection does not work, or could not be made: whether the statement took place is open.
    case lost(String)

    var text: String {
      switch self {
      case .refused(let code, let text): "\(text) (SQLSTATE \(code))"
      case .lost(let text): text
      }
    }
  }

  extension EventStoreError {
    /// A refusal of the server: nothing was written. `place`: server and database.
    init(refusal code: String, _ text: String, at place: String) {
      let what = "\(place): \(text) (SQLSTATE \(code))"
      switch code {
      case "53100": self = .noSpace("\(what): make room on the server's disk")
      case "57014":
        self = .unavailable("\(what): look for what keeps the server busy or holds its locks, or allow more by `statementTimeout`")
      default: self = .unavailable(ServerHint.with(code).map { "\(what): \($0)" } ?? what)
      }
    }
  }

  /// What to do about an error of the server.
  enum ServerHint {
    /// Connecting fails with words only.
    static func added(toConnecting text: String) -> String {
      for (words, hint) in connecting where text.contains(words) { return "\(text): \(hint)" }
      return text
    }

    private static let connecting = [
      ("password", "check user, password and the server's pg_hba.conf"),
      ("pg_hba.conf", "let the server's pg_hba.conf name this user, database and way"),
      ("certificate", "check sslrootcert, and that host is the name in the server's certificate"),
      ("does not exist", "create the database first: `createdb`"), ("too many", "raise the server's max_connections: each store has two"),
    ]

    static func with(_ code: String) -> String? {
      switch code {
      case "42501": "let this role own the schema, or `migrates` be done by the one that does"
      case "25006": "this server only reads: connect to the primary (target_session_attrs=read-write)"
      case "42P01", "42883", "3F000": "the schema is not complete: open the store with `migrates`, or look what has removed it"
      default: nil
      }
    }
  }
#endif
