/// Why a plugin was not loaded. Each case has its own message: the path, what is wrong, what to do.
public enum PluginError: Error, Sendable, Hashable {
  /// No file at `path`.
  case missing(path: String)
  /// `path` is there, but cannot be read as a regular file.
  case unreadable(path: String, reason: String)
  /// More than ``PluginLoader/largestFile`` bytes.
  case tooLarge(path: String, bytes: Int64, limit: Int64)
  /// A directory holds more than ``PluginSearch/largestDirectory`` plugins.
  case tooManyPlugins(directory: String, limit: Int)
  /// Anybody may write `offender`: the file, its directory, or a directory above it.
  case writableByOthers(path: String, offender: String)
  /// `offender`, the file or its directory, belongs to somebody who is neither root nor the user of this process.
  case foreignOwner(path: String, offender: String, owner: UInt32)
  /// Not an ELF file; `found` says what the beginning looks like.
  case notELF(path: String, found: String)
  /// An ELF file of another kind: an object file, a program, a core dump.
  case notSharedObject(path: String, kind: String)
  /// `part` ends at byte `needed` of a file of `bytes`.
  case truncated(path: String, part: String, needed: UInt64, bytes: UInt64)
  /// A header of the file contradicts itself or exceeds a bound.
  case damaged(path: String, reason: String)
  /// Built for another processor.
  case wrongArchitecture(path: String, file: String, host: String)
  /// The private copy that is loaded could not be made.
  case noPrivateCopy(path: String, reason: String)
  /// A shared library that the plugin needs was not found.
  case missingLibrary(path: String, library: String)
  /// A symbol that the plugin needs was not found.
  case missingSymbol(path: String, symbol: String)
  /// The dynamic linker refused it for another reason.
  case refusedByLinker(path: String, reason: String)
  /// It has no section `.millrace`: built for version 0 of the interface, or MILLRACE_MANIFEST() was forgotten.
  case missingManifest(path: String)
  /// Its section `.millrace` is not what `millrace/plugin.h` puts there.
  case badManifest(path: String, reason: String)
  /// It was compiled with another layout of the interface's structs; `field` as "host.now", and what both say of it.
  case foreignLayout(path: String, field: String, plugin: String, host: String)
  /// It does not export `millrace_plugin_entry`.
  case missingEntry(path: String)
  /// Built for another version of the interface; `plugin` is absent if its entry returned NULL.
  case wrongABI(path: String, plugin: UInt32?, host: UInt32)
  /// A field of the description is not as `millrace/plugin.h` says.
  case malformed(path: String, field: String, reason: String)
  /// The plugin's `init` refused, with its own words.
  case failedInit(path: String, plugin: String, reason: String)
  /// A file that says which plugins are trusted cannot be used.
  case badTrust(path: String, reason: String)
  /// Its build is not on the list of those that may be loaded.
  case notListed(path: String, sha256: String)
  /// Signatures are asked for, and there is no file `signature`.
  case unsigned(path: String, signature: String)
  /// None of the keys made what `signature` holds, of these bytes.
  case wrongSignature(path: String, signature: String)
  /// A setting is not as the plugin's configuration schema says.
  case badSetting(path: String, plugin: String, reason: String)
  /// What was said of its isolation is out of bounds, or fits no plugin.
  case badIsolation(path: String, reason: String)
  /// The program that isolated plugins run in is at none of these places.
  case noPluginHost(path: String, places: [String])
  /// A process for it could not be started.
  case noProcess(path: String, reason: String)
  /// The kernel cannot keep an untrusted plugin in.
  case noSandbox(path: String, reason: String)
  /// Its process ended before it was ready.
  case crashedAtStart(path: String, how: String)
  /// Two plugins, or one of them twice, offer the same handler.
  case duplicateHandler(path: String, handler: String, build: String, other: String, otherBuild: String)
  /// What `millrace_state` says of it: the state could not be saved or was not taken over, and why.
  case badState(path: String, plugin: String, reason: String)
  /// Code that can never be unmapped again, as Swift's, has been loaded beside other builds as often as a process bears.
  case tooManyMapped(path: String, limit: Int)

  /// The file or directory that was refused, as it was named to the loader.
  public var path: String {
    switch self {
    case .missing(let path), .unreadable(let path, _), .tooLarge(let path, _, _), .tooManyPlugins(let path, _),
      .writableByOthers(let path, _), .foreignOwner(let path, _, _), .notELF(let path, _), .notSharedObject(let path, _),
      .truncated(let path, _, _, _), .damaged(let path, _), .wrongArchitecture(let path, _, _), .noPrivateCopy(let path, _),
      .missingLibrary(let path, _), .missingSymbol(let path, _), .refusedByLinker(let path, _), .missingEntry(let path),
      .missingManifest(let path), .badManifest(let path, _), .foreignLayout(let path, _, _, _),
      .wrongABI(let path, _, _), .malformed(let path, _, _), .failedInit(let path, _, _), .duplicateHandler(let path, _, _, _, _),
      .badState(let path, _, _), .tooManyMapped(let path, _),
      .badTrust(let path, _), .notListed(let path, _), .unsigned(let path, _), .wrongSignature(let path, _), .badSetting(let path, _, _),
      .badIsolation(let path, _), .noPluginHost(let path, _), .noProcess(let path, _), .noSandbox(let path, _),
      .crashedAtStart(let path, _):
      path
    }
  }
}

extension PluginError: CustomStringConvertible {
  public var description: String {
    // Not a plugin's file.
    if case .badTrust = self { return "\(path): \(what); \(remedy)" }
    return "plugin \(path): \(what); \(remedy)"
  }

  /// What is wrong, in a few words.
  package var what: String {
    switch self {
    case .missing: "there is no such file"
    case .unreadable(_, let reason): "it cannot be read: \(reason)"
    case .tooLarge(_, let bytes, let limit): "it has \(bytes) bytes, the limit is \(limit)"
    case .tooManyPlugins(_, let limit): "the directory holds more than \(limit) plugins"
    case .writableByOthers(_, let offender): "anybody may write \(offender)"
    case .foreignOwner(_, let offender, let owner): "\(offender) belongs to user \(owner), who is neither root nor the user of this process"
    case .notELF(_, let found): "it is not an ELF shared object: it \(found)"
    case .notSharedObject(_, let kind): "it is an ELF \(kind), not a shared object"
    case .truncated(_, let part, let needed, let bytes): "it is truncated: \(part) ends at byte \(needed), the file has \(bytes)"
    case .damaged(_, let reason): "its ELF headers are damaged: \(reason)"
    case .wrongArchitecture(_, let file, let host): "it is built for \(file), this host is \(host)"
    case .noPrivateCopy(_, let reason): "no private copy could be made: \(reason)"
    case .missingLibrary(_, let library): "it needs the library \(library), which was not found"
    case .missingSymbol(_, let symbol): "it needs the symbol \(symbol), which no library offers"
    case .refusedByLinker(_, let reason): "the dynamic linker refused it: \(reason)"
    case .missingManifest: "it has no manifest, the section .millrace: it was built for version 0 of the plugin interface, or without one"
    case .badManifest(_, let reason): "its manifest, the section .millrace, \(reason)"
    case .foreignLayout(_, let field, let plugin, let host): "it was compiled with \(field) \(plugin), this host has it \(host)"
    case .missingEntry: "it does not export millrace_plugin_entry"
    case .wrongABI(_, let plugin?, let host): "it is built for plugin interface \(plugin), this host has \(host)"
    case .wrongABI(_, nil, let host): "its entry returned NULL: it does not work with plugin interface \(host) of this host"
    case .malformed(_, let field, let reason): "its description is malformed: \(field) \(reason)"
    case .badTrust(_, let reason): "what it says of trusted plugins cannot be used: \(reason)"
    case .notListed(_, let sha256): "its build is not among those that may be loaded: its SHA-256 is \(sha256)"
    case .unsigned(_, let signature): "it is not signed: there is no \(signature)"
    case .wrongSignature(_, let signature): "\(signature) is no signature of this build by any of the keys"
    case .badSetting(_, let plugin, let reason): "its settings are not as \(plugin) says: \(reason)"
    case .failedInit(_, let plugin, let reason): "init of \(plugin) failed: \(reason)"
    case .badIsolation(_, let reason): "it cannot be isolated so: \(reason)"
    case .noPluginHost(_, let places):
      "the program millrace-plugin-host, in which it would run, is not at \(places.joined(separator: ", "))"
    case .noProcess(_, let reason): "no process could be started for it: \(reason)"
    case .noSandbox(_, let reason): "it cannot be kept in: \(reason)"
    case .crashedAtStart(_, let how): "its process did not come up: \(how)"
    case .duplicateHandler(let path, let handler, let build, let other, let otherBuild):
      "handler \(handler) is offered by \(path) (build \(build.prefix(12))) and by \(other) (build \(otherBuild.prefix(12)))"
    case .badState(_, let plugin, let reason): "the state of \(plugin) cannot be handed over: \(reason)"
    case .tooManyMapped(_, let limit): "its code can never be unmapped, and this process has loaded \(limit) such builds beside others"
    }
  }

  /// What to do about it.
  var remedy: String {
    switch self {
    case .missing: "check the path, MILLRACE_PLUGINS and the directory `plugins` beside the program"
    case .unreadable: "name a regular file, or a directory of them, that this user may read"
    case .tooLarge: "strip it, or name the right file"
    case .tooManyPlugins: "name the files that are wanted one by one"
    case .writableByOthers(_, let offender): "chmod o-w \(offender), and look at what was written there"
    case .foreignOwner(_, let offender, _): "chown \(offender), if you trust it, or copy the plugin into a directory of your own"
    case .notELF: "name the .so file that the compiler wrote"
    case .notSharedObject: "link it with -shared -fPIC"
    case .truncated: "copy or build it again"
    case .damaged: "build it again"
    case .wrongArchitecture(_, _, let host): "build it for \(host)"
    case .noPrivateCopy: "free memory, or allow executable memory files (sysctl vm.memfd_noexec)"
    case .missingLibrary: "install it, or set the plugin's run path to an absolute directory"
    case .missingSymbol: "link the library that defines it, or install the version that the plugin was built against"
    case .refusedByLinker: "build it again for this system"
    case .missingManifest:
      "put MILLRACE_MANIFEST(); into one of its files and build it against this host's millrace/plugin.h; if it is there, do not strip sections"
    case .badManifest: "put MILLRACE_MANIFEST(); into one of its files, once, and build it again"
    case .foreignLayout: "build it against this host's millrace/plugin.h, without options that change the layout of structs"
    case .missingEntry: "export it as millrace/plugin.h shows, with C linkage and default visibility"
    case .wrongABI: "build it against this host's millrace/plugin.h"
    case .malformed: "correct the description that millrace_plugin_entry returns"
    case .badTrust: "put it right, and see docs/plugins.md for its form"
    case .notListed: "add that line to the list, if you trust the build"
    case .unsigned: "sign it: openssl pkeyutl -sign -rawin -inkey private.pem -in PLUGIN -out PLUGIN.sig"
    case .wrongSignature: "sign this build with one of the keys, or give the key that signed it"
    case .badSetting(_, let plugin, _): "`millrace plugin list -o json` shows the schema of \(plugin); correct its settings"
    case .failedInit(_, let plugin, _): "see the documentation of \(plugin)"
    case .badIsolation: "correct what isolates it"
    case .noPluginHost: "`make build` builds it beside the command; put it there, or name it by MILLRACE_PLUGIN_HOST"
    case .noProcess: "free memory, descriptors or processes"
    case .noSandbox: "use a kernel with landlock and seccomp, or isolate it as a process if you trust it"
    case .crashedAtStart: "look at its constructors and `init`, and at the bounds that it was given"
    case .duplicateHandler: "load only one of them"
    case .badState: "have the new build take over what the old one saves, or restart the process"
    case .tooManyMapped: "restart the process with this build"
    }
  }
}
