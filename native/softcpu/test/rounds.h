/* Where guests.S and barriers.c meet: words in cache lines of their own. */
#define READY 0
#define ROUND 64
#define STOP 128
#define MY_FLAG 192
#define ITS_FLAG 256
#define SEEN 320
#define DONE 384
