/* The manifest of every plugin that is written with MillracePluginKit. Not in CMillrace: plugins in C link that too, and bring their own. */
#include <millrace/plugin.h>

MILLRACE_MANIFEST();
