/* The debian plugin: what it is called and what it offers. */
#include <stdio.h>

#include "census.h"

#define HANDLER(variable, its_name, its_flags, its_summary, its_schema, its_run) \
  static const millrace_handler variable = {.size = sizeof(millrace_handler),    \
                                            .flags = (its_flags),                \
                                            .name = (its_name),                  \
                                            .summary = (its_summary),            \
                                            .input_schema = (its_schema),        \
                                            .run = (its_run)}

static const char chunk_schema[] =
    "{\"type\":\"object\",\"required\":[\"chunk\"],\"additionalProperties\":false,\"properties\":{\"chunk\":{\"type\":\"integer\","
    "\"minimum\":0,\"maximum\":255}}}";
static const char split_schema[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"status\":{\"type\":\"string\",\"default\":\"/var/lib/dpkg/"
    "status\"},"
    "\"info\":{\"type\":\"string\"},\"root\":{\"type\":\"string\",\"default\":\"\"},"
    "\"chunks\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":256,\"default\":8},"
    "\"fileChunks\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":256,\"default\":24},"
    "\"sampleMiB\":{\"type\":\"integer\",\"minimum\":0,\"default\":12288}}}";

/* Those that wait for a disk are declared so; the others compute on what they were given, or read a file of a few hundred KB. */
HANDLER(split, "split", MILLRACE_BLOCKING, "plans a census of a dpkg database: chunks of its status file and of its info directory",
        split_schema, census_split);
HANDLER(parse, "parse", 0, "reads the packages of one chunk of a status file", chunk_schema, census_parse);
HANDLER(merge_packages, "merge-packages", 0, "joins the packages of all chunks", NULL, census_merge_packages);
HANDLER(rank, "rank", 0, "totals, sections, the largest packages and the most depended upon", NULL, census_rank);
HANDLER(files, "files", MILLRACE_BLOCKING, "finds the files of one chunk of packages and checks MD5 sums of a sample", chunk_schema,
        census_files);
HANDLER(merge_files, "merge-files", 0, "joins the counts of all chunks of files", NULL, census_merge_files);
HANDLER(single, "single", MILLRACE_BLOCKING, "the whole census in one thread, by other code", NULL, census_single);
HANDLER(compare, "compare", 0, "fails where the parallel census and the single-threaded one differ", NULL, census_compare);
HANDLER(report, "report", 0, "writes the report of a census", NULL, census_report);

static const millrace_handler *const handlers[] = {&split,       &parse,  &merge_packages, &rank,  &files,
                                                   &merge_files, &single, &compare,        &report};

static int32_t debian_init(const millrace_host *host, char *message, size_t capacity) {
  if (host->size >= sizeof(millrace_host)) return 0;
  (void)snprintf(message, capacity, "debian: the host's table is shorter than version %u of the interface", MILLRACE_ABI_VERSION);
  return -1;
}

static const millrace_plugin plugin = {
    .size = sizeof(millrace_plugin),
    .abi_version = MILLRACE_ABI_VERSION,
    .name = "debian",
    .version = "0.1.0",
    .summary = "takes a census of a dpkg database: packages, their files, and which of those were altered",
    .init = debian_init,
    .handlers = handlers,
    .handler_count = sizeof handlers / sizeof *handlers,
};

MILLRACE_MANIFEST();
MILLRACE_EXPORT const millrace_plugin *millrace_plugin_entry(uint32_t host_abi_version);

const millrace_plugin *millrace_plugin_entry(uint32_t host_abi_version) {
  return host_abi_version == MILLRACE_ABI_VERSION ? &plugin : NULL;
}
