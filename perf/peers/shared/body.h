/* The bodies that jobs of every peer run: where no optimiser sees them. */
#ifndef PEERS_BODY_H
#define PEERS_BODY_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
void body_empty(void);
/* The arithmetic of bench/spin. */
void body_spin(uint64_t rounds);
#ifdef __cplusplus
}
#endif
#endif
