/* The few things of GLib that the translator uses, so that neither the build nor the product needs GLib.
 * Memory that cannot be had ends the process, as with GLib. */
#ifndef SOFTCPU_GLIB_H
#define SOFTCPU_GLIB_H

#include <float.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef char gchar;
typedef int gint;
typedef int gboolean;
typedef unsigned int guint;
typedef size_t gsize;
typedef void *gpointer;
typedef const void *gconstpointer;
typedef struct _GArray GArray;
typedef struct _GByteArray GByteArray;
typedef struct _GHashTable GHashTable;
typedef struct _GList GList;
typedef struct _GMainContext GMainContext;
typedef struct _GPollFD GPollFD;
typedef struct _GPtrArray GPtrArray;
typedef struct _GSList GSList;
typedef struct _GSource GSource;
typedef struct _GString GString;
typedef struct _GTree GTree;
typedef gboolean (*GTraverseFunc)(gpointer key, gpointer value, gpointer data);

#define G_NORETURN __attribute__((noreturn))
#define G_GNUC_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#define G_GNUC_UNUSED __attribute__((unused))
#define G_GNUC_WARN_UNUSED_RESULT __attribute__((warn_unused_result))
#define G_STRLOC __FILE__
#define G_DEFINE_AUTOPTR_CLEANUP_FUNC(type, func)

#define g_assert(condition) ((condition) ? (void)0 : softcpu_bug(#condition, __FILE__, __LINE__))
#define g_assert_not_reached() softcpu_bug("not reached", __FILE__, __LINE__)

/* tcg_abort() comes to this too. */
#define abort() softcpu_bug("abort", __FILE__, __LINE__)

G_NORETURN void softcpu_bug(const char *what, const char *file, int line);

static inline void *softcpu_check(void *memory) {
  if (!memory) softcpu_bug("out of memory", __FILE__, __LINE__);
  return memory;
}

#define g_malloc(size) softcpu_check(malloc(size))
#define g_malloc0(size) softcpu_check(calloc(1, size))
#define g_free(memory) free(memory)
#define g_new(type, count) ((type *)softcpu_check(calloc(count, sizeof(type))))
#define g_new0(type, count) g_new(type, count)
#define g_try_new(type, count) ((type *)calloc(count, sizeof(type)))
#define g_renew(type, old, count) ((type *)softcpu_check(reallocarray(old, count, sizeof(type))))
#define g_strdup(text) ((char *)softcpu_check(strdup(text)))

guint g_int64_hash(const void *key);
gboolean g_int64_equal(const void *a, const void *b);
GHashTable *g_hash_table_new(guint (*hash)(const void *), gboolean (*equal)(const void *, const void *));
void g_hash_table_destroy(GHashTable *table);
void *g_hash_table_lookup(GHashTable *table, const void *key);
void g_hash_table_insert(GHashTable *table, const void *key, void *value);
void g_hash_table_remove_all(GHashTable *table);

#endif
