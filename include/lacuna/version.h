/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LACUNA_VERSION_H
#define LACUNA_VERSION_H

#if defined(__GNUC__)
#define LACUNA_API __attribute__((visibility("default")))
#else
#define LACUNA_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/** The library's version, "MAJOR.MINOR.PATCH". Static storage; any thread. */
LACUNA_API const char *lacuna_version(void);

#ifdef __cplusplus
}
#endif
#endif
