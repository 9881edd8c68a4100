/* The layout of the plugin interface as this host was compiled: what the manifests of plugins are compared with. */
#ifndef MILLRACE_LAYOUT_H
#define MILLRACE_LAYOUT_H

#include "millrace/plugin.h"

static inline const millrace_manifest *millrace_layout(void) {
  static const millrace_manifest layout = MILLRACE_MANIFEST_VALUE;
  return &layout;
}

#endif
