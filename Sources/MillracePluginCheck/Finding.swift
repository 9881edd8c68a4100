/// A fault of a plugin, or what may be one.
package struct Finding: Sendable, Equatable {
  package enum Severity: String, Sendable, CaseIterable {
    /// It breaks a rule of the interface, or its process.
    case error
    /// It keeps the rules, and will be regretted.
    case warning
    /// Worth knowing.
    case note
  }

  package var check: Check
  package var code: FindingCode
  /// `plugin/handler`; nil: it is about the plugin.
  package var handler: String?
  /// What was seen.
  package var what: String
  /// What input 0 was, as text; nil: there was none.
  package var input: String?
  /// Other checks that found the same.
  package var others: [Check] = []

  package var severity: Severity { code.severity }
}

/// What is wrong, in a word that stays the same.
package enum FindingCode: String, Sendable, CaseIterable {
  // Loading.
  case missingEntry = "missing-entry"
  case wrongABI = "wrong-abi"
  case malformed
  case badManifest = "bad-manifest"
  case notLinked = "not-linked"
  case failedInit = "failed-init"
  case badSchema = "bad-schema"
  case poorText = "poor-text"
  // Lives.
  case secondInit = "second-init"
  case otherHost = "other-host"
  case unknownExtension = "unknown-extension"
  case needsExtension = "needs-extension"
  case hostAfterDeinit = "host-after-deinit"
  case threadLeft = "thread-left"
  case messagesLeft = "messages-left"
  // Calls.
  case crash
  case exit
  case hang
  case neverCompletes = "never-completes"
  case badStatus = "bad-status"
  case unsaidOutcome = "unsaid-outcome"
  case badText = "bad-text"
  case badJSON = "bad-json"
  case outputSchema = "output-schema"
  case unclaimedOutput = "unclaimed-output"
  case outputTooLong = "output-too-long"
  case nullArgument = "null-argument"
  // Memory.
  case pastClaim = "past-claim"
  case pastInput = "past-input"
  case inputWritten = "input-written"
  case pastOutcome = "past-outcome"
  case pastMessage = "past-message"
  case pastDraft = "past-draft"
  case lateMemory = "late-memory"
  case nullPointer = "null-pointer"
  case stackOverflow = "stack-overflow"
  case unmappedCode = "unmapped-code"
  // Threads and ends.
  case wrongThread = "wrong-thread"
  case attemptAfterEnd = "attempt-after-end"
  case completedTwice = "completed-twice"
  case completedAfterReturn = "completed-after-return"
  case noToken = "no-token"
  case lateToken = "late-token"
  case draftAfterEnd = "draft-after-end"
  // What it costs.
  case leak
  case descriptorLeak = "descriptor-leak"
  case allocations
  case blocks

  package var severity: Finding.Severity {
    switch self {
    case .poorText, .messagesLeft, .badText, .outputSchema, .draftAfterEnd, .allocations, .blocks: .warning
    case .needsExtension: .note
    default: .error
    }
  }

  /// What to do about it.
  package var fix: String {
    switch self {
    case .missingEntry: "export millrace_plugin_entry with C linkage and default visibility"
    case .wrongABI: "return NULL to a host of another version, and a description of your own version to yours"
    case .malformed: "correct the description that millrace_plugin_entry returns"
    case .badManifest: "put MILLRACE_MANIFEST(); into one file, once, and build against this host's millrace/plugin.h"
    case .notLinked: "link what defines it, with an absolute run path"
    case .failedInit: "give what it needs: settings by --set, or an environment"
    case .badSchema: "a schema is a JSON object as JSON Schema 2020-12 says"
    case .poorText: "write one line for people"
    case .secondInit: "give back in deinit what init has taken of the process"
    case .otherHost:
      "keep nothing in symbols that builds share (inline variables and template statics of C++) or in the environment: compile with -fvisibility=hidden"
    case .unknownExtension: "return NULL for every id that is not yours"
    case .needsExtension: "say in the plugin's documentation which extensions it needs"
    case .hostAfterDeinit: "let deinit wait until nothing of the plugin uses the host any more"
    case .threadLeft: "join every thread in deinit: its code is unmapped after that"
    case .messagesLeft: "publish or drop every message that was claimed"
    case .crash: "run it again under a debugger"
    case .exit: "a plugin ends attempts, not the process"
    case .hang: "look at `cancelled` now and then, and return soon once it says so"
    case .neverCompletes: "complete each token, also once `cancelled` says so"
    case .badStatus: "end with MILLRACE_DONE, MILLRACE_RETRY, MILLRACE_FAILED or MILLRACE_CANCELLED"
    case .unsaidOutcome: "set the status of each outcome of a batch"
    case .badText: "texts are UTF-8, with a NUL inside of their bounds"
    case .badJSON: "write JSON, or claim with MILLRACE_TEXT or MILLRACE_BYTES"
    case .outputSchema: "correct the output or its schema"
    case .unclaimedOutput: "an output is what `claim` has filled in, for this attempt"
    case .outputTooLong: "claim as much as the output needs"
    case .nullArgument: "pass what the header asks for"
    case .pastClaim: "write no more than was claimed"
    case .pastInput: "read payload.length bytes: an input has no NUL at its end"
    case .inputWritten: "copy the input, and change the copy"
    case .pastOutcome: "write at most MILLRACE_ERROR_TYPE_BYTES with the NUL, and nothing behind the fields that you know"
    case .pastMessage: "write at most message_capacity - 1 bytes"
    case .pastDraft: "write no more than the message was claimed with"
    case .lateMemory: "use nothing of an attempt once it has ended, and no outcome once its call has returned"
    case .nullPointer: "look at what may be NULL: `claim`, `setting`, `extension`"
    case .stackOverflow: "bound the depth of what recurses"
    case .unmappedCode: "join every thread in deinit: its code is unmapped after that"
    case .wrongThread: "call it on the worker, or ask for a token and return MILLRACE_PENDING"
    case .attemptAfterEnd: "stop what works for an attempt before the attempt ends"
    case .completedTwice: "whoever completes a token is the only one who does"
    case .completedAfterReturn: "return MILLRACE_PENDING where somebody else completes the token"
    case .noToken: "complete tokens that `token` has given"
    case .lateToken: "ask for the token during the call"
    case .draftAfterEnd: "publish or drop a message once"
    case .leak: "free in each call what it allocates; valgrind tells where"
    case .descriptorLeak: "close in each call what it opens"
    case .allocations: "allocate once, in init, or on the stack"
    case .blocks: "say MILLRACE_BLOCKING, or wait without a thread: MILLRACE_PENDING"
    }
  }
}
