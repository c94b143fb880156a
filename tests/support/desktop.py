"""A desktop on the session bus at ADDRESS: prints what it is to show, a line of JSON each, and never answers."""

import json
import sys

from gi.repository import Gio, GLib

NAME = "org.freedesktop.Notifications"
# As its specification has it: Gio refuses a call of any other signature.
TYPES = ("s", "u", "s", "s", "s", "as", "a{sv}", "i")
NODE = f"""<node><interface name="{NAME}"><method name="Notify">
    {"".join(f'<arg direction="in" type="{type}"/>' for type in TYPES)}
    <arg direction="out" type="u"/></method></interface></node>"""
FLAGS = Gio.DBusConnectionFlags.AUTHENTICATION_CLIENT | Gio.DBusConnectionFlags.MESSAGE_BUS_CONNECTION

calls = []


def note(connection, sender, path, interface, method, arguments, call):
    calls.append(call)
    print(json.dumps(arguments.unpack()), flush=True)


connection = Gio.DBusConnection.new_for_address_sync(sys.argv[1], FLAGS, None, None)
connection.register_object("/org/freedesktop/Notifications", Gio.DBusNodeInfo.new_for_xml(NODE).interfaces[0], note)
Gio.bus_own_name_on_connection(connection, NAME, Gio.BusNameOwnerFlags.NONE, lambda *_: print("ready", flush=True))
GLib.MainLoop().run()
