/* GLib's hash table, as far as the translator uses one: pointers to pointers,
 * by the pointer or by the 64-bit number that it points to. Open addressing;
 * emptying it costs what was put in. */
#include "glib-compat.h"

struct slot {
  const void *key;
  void *value;
};

struct _GHashTable {
  bool by_number;
  size_t mask, count;
  struct slot *slots;
};

guint g_int64_hash(const void *key) {
  return *(const uint64_t *)key;
}
gboolean g_int64_equal(const void *a, const void *b) {
  return *(const uint64_t *)a == *(const uint64_t *)b;
}

GHashTable *g_hash_table_new(guint (*hash)(const void *), gboolean (*equal)(const void *, const void *)) {
  GHashTable *table = g_new(GHashTable, 1);
  table->by_number = hash == g_int64_hash;
  table->mask = 63;
  table->slots = g_new(struct slot, table->mask + 1);
  return table;
}

void g_hash_table_destroy(GHashTable *table) {
  if (!table) return;
  free(table->slots);
  free(table);
}

static uint64_t number_of(const GHashTable *table, const void *key) {
  return table->by_number ? *(const uint64_t *)key : (uintptr_t)key;
}

/* The slot of the key, or the empty one where it belongs. */
static struct slot *find(const GHashTable *table, const void *key) {
  uint64_t number = number_of(table, key);
  size_t at = (number * 0x9e3779b97f4a7c15ull) >> 32;
  for (;; at++) {
    struct slot *slot = &table->slots[at & table->mask];
    if (!slot->key || number_of(table, slot->key) == number) return slot;
  }
}

void *g_hash_table_lookup(GHashTable *table, const void *key) {
  return find(table, key)->value;
}

static void grow(GHashTable *table) {
  GHashTable old = *table;
  table->mask = old.mask * 2 + 1;
  table->slots = g_new(struct slot, table->mask + 1);
  for (size_t i = 0; i <= old.mask; i++)
    if (old.slots[i].key) *find(table, old.slots[i].key) = old.slots[i];
  free(old.slots);
}

void g_hash_table_insert(GHashTable *table, const void *key, void *value) {
  struct slot *slot = find(table, key);
  if (!slot->key) table->count++;
  *slot = (struct slot){key, value};
  if (table->count * 2 > table->mask) grow(table);
}

void g_hash_table_remove_all(GHashTable *table) {
  if (table->count) memset(table->slots, 0, (table->mask + 1) * sizeof(*table->slots));
  table->count = 0;
}
