internal import Glibc
internal import Millrace
internal import MillraceLog
internal import MillracePlugins

/// The builds of plugins that durable runs of a data directory need, and those that are kept there without a need. Takes no lock.
struct KeptBuilds {
  struct Build {
    var plugin: String
    var sha256: String
    /// Runs that are not over.
    var runs: [RunID] = []
    /// Runs that ended, but did not complete: they can be made to go on.
    var resumable = 0
    /// Of the first one of either kind, nanoseconds since 1970; nil: there is none.
    var since: Int64?
    /// The file that is kept; nil: it is not there.
    var path: String?
  }

  /// Ids of runs that are listed of a build.
  static let listedRuns = 100

  /// Those that are needed for the longest time first; at last those that nobody needs.
  let builds: [Build]
  let now: Int64

  init(_ data: DataOptions) throws(Refusal) {
    let archive = try RunArchive(data)
    now = archive.now.wall
    let folder = data.directory + "/builds"
    var found: [String: Build] = [:]
    let pins: [RunPins]
    do throws(EventStoreError) { pins = try archive.log.pins() } catch { throw Refusal(error) }
    for run in pins {
      for pinned in run.builds {
        guard let sha256 = pinned.value.string else { continue }
        var build = found[sha256] ?? Build(plugin: pinned.name, sha256: sha256)
        if run.needsBuilds {
          build.since = min(build.since ?? .max, run.created)
          if run.ended == nil { build.runs.append(run.run) } else { build.resumable += 1 }
        }
        found[sha256] = build
      }
    }
    for (sha256, var build) in found {
      let path = "\(folder)/\(sha256).so"
      // It becomes a path.
      build.path = unsafe PluginTrust.isBuild(sha256) && access(path, F_OK) == 0 ? path : nil
      // What nobody needs and what is not there is of the past.
      found[sha256] = build.since == nil && build.path == nil ? nil : build
    }
    builds = found.values.sorted { ($0.since ?? .max, $0.sha256) < ($1.since ?? .max, $1.sha256) }
  }
}

extension KeptBuilds.Build {
  var json: JSON {
    .object([
      .init("plugin", .string(plugin)),
      .init("sha256", .string(sha256)),
      .init("path", path.map(JSON.string) ?? .null),
      .init("runs", .array(runs.prefix(KeptBuilds.listedRuns).map { .string($0.description) })),
      .init("runCount", .integer(Int64(runs.count))),
      .init("resumableCount", .integer(Int64(resumable))),
      .init("sinceWallNanoseconds", since.map(JSON.integer) ?? .null),
    ])
  }

  func row(now: Int64) -> JSON {
    .object([
      .init("plugin", .string(plugin)),
      .init("build", .string(String(sha256.prefix(12)))),
      .init("runs", .string("\(runs.count)" + (resumable == 0 ? "" : ", \(resumable) ended badly"))),
      .init("since", .string(since.map { "\(Quantity.nanoseconds(UInt64(max(0, now - $0)))) ago" } ?? "no longer needed")),
      .init("file", .string(path ?? "missing")),
    ])
  }
}
