/* A room without sources yet. */
extern int fl_empty_room;
