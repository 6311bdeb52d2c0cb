-- What sysbench asks of MariaDB: one row by its key, two hundred rows, or a new connection each time.

sysbench.cmdline.options = {
   kind = {"What an event is: `point`, `query` or `connect`", "point"},
   prepared = {"Whether statements are prepared", false},
   rows = {"How many rows `wide` has", 1000000},
   points = {"How many rows `points` has", 100000}
}

local QUERIES = {
   point = "SELECT c FROM points WHERE id = ",
   query = "SELECT * FROM wide WHERE id BETWEEN "
}

local statement, parameters

function thread_init()
   driver = sysbench.sql.driver()
   connection = driver:connect()
   if sysbench.opt.prepared then
      local int = sysbench.sql.type.INT
      local marks = sysbench.opt.kind == "point" and "?" or "? AND ?"
      statement = connection:prepare(QUERIES[sysbench.opt.kind] .. marks)
      parameters = {}
      for place = 1, sysbench.opt.kind == "point" and 1 or 2 do
         parameters[place] = statement:bind_create(int)
      end
      statement:bind_param(unpack(parameters))
   end
end

function event()
   if sysbench.opt.kind == "connect" then
      connection:disconnect()
      connection = driver:connect()
      return
   end
   local values
   if sysbench.opt.kind == "point" then
      values = {sysbench.rand.uniform(1, sysbench.opt.points)}
   else
      local first = sysbench.rand.uniform(1, sysbench.opt.rows - 200)
      values = {first, first + 199}
   end
   if statement == nil then
      connection:query(QUERIES[sysbench.opt.kind] .. table.concat(values, " AND "))
      return
   end
   for place, value in ipairs(values) do
      parameters[place]:set(value)
   end
   statement:execute()
end

function thread_done()
   if statement ~= nil then
      statement:close()
   end
   connection:disconnect()
end
