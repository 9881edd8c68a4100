public import MillracePluginKit

let plugin = Plugin("files", version: "0.1.0", summary: "Lists, hashes and counts files") {
  Handler(
    "list", summary: "Lists the regular files of a directory with their sizes", inputSchema: Listing.schema, blocking: true, listFiles)
  Handler("hash", summary: "SHA-256 of files", inputSchema: FileSelection.schema, blocking: true, hashFiles)
  Handler(
    "statistics", summary: "Lines, words, bytes and the longest line of files", inputSchema: FileSelection.schema, blocking: true,
    countFiles)
}

@c(millrace_plugin_entry)
public func entry(_ hostVersion: UInt32) -> PluginEntry? { unsafe plugin.entry(hostVersion) }
