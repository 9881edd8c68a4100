internal import ArgumentParser
internal import Millrace

/// Where the secrets of a run come from.
struct SecretOptions: ParsableArguments {
  @Option(
    name: .customLong("secrets"),
    help: ArgumentHelp(
      "A directory of secrets, one file for each, readable by nobody else. Looked at before --secrets-env.", valueName: "dir"),
    completion: .directory)
  var directory: String?

  @Option(
    name: .customLong("secrets-env"),
    help: ArgumentHelp("Takes the environment variables that begin so as secrets: PREFIX + NAME is the secret NAME.", valueName: "prefix"))
  var prefix: String?

  func validate() throws {
    if prefix == "" { throw ValidationError("--secrets-env needs a prefix, as SECRET_") }
  }

  /// Once, before any thread is started.
  func source() throws(Refusal) -> SecretSource? {
    // unsafe: the command's only thread.
    let environment = prefix.map { unsafe SecretSource.takingEnvironment(prefix: $0) }
    guard let directory else { return environment }
    do throws(SecretError) {
      let files = try SecretSource.directory(directory)
      return environment.map(files.or) ?? files
    } catch {
      throw Refusal(.wrongUse, "--secrets: \(error)")
    }
  }
}
