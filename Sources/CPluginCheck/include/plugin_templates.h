/* The files that `plugin new` writes, as they are in this tree: a user has the command alone. */
#ifndef MILLRACE_PLUGIN_TEMPLATES_H
#define MILLRACE_PLUGIN_TEMPLATES_H

#include <stddef.h>

typedef struct plugin_template {
  const char *language; /* as `--lang` has it; "*": all */
  const char *path;     /* in the project */
  const char *text;     /* with @NAME@ and @MILLRACE@ where those go; no NUL at its end */
  size_t length;
} plugin_template;

/* The file of that number from 0, or NULL. */
const plugin_template *plugin_template_at(size_t index);

#endif
